/**
 * The maps of open images over one slot file, and for each slot the list of who names it.
 *
 * A map holds one word per chunk, shared with the workers: unknown, zero, or a slot. For each word that names a slot there is
 * one link in the slot's list, so that eviction can clear every map that names a slot in one synchronous turn; the same
 * chunk at ten places of five clones is one slot with fifty links. Links live in typed arrays (12 bytes each) and are
 * reused. Words are stored with Atomics: the worker's side of the rule is in worker-fence.ts.
 * What a slot holds is not known here (slot-table.ts).
 */
import type { Bytes, ChunkNumber, SlotNumber } from '../format/geometry.js';
import { FIRST_SLOT, SLOT_UNKNOWN, SLOT_ZERO, type SlotMap } from './api.js';

const NO_LINK = 0;
const FIRST_LINKS = 1024;

export class SlotMaps {
  private readonly numbers = new Map<SlotMap, number>();
  private readonly maps: (SlotMap | undefined)[] = [];
  /** Links that each map has. */
  private readonly linkCounts: number[] = [];
  /** First link of each slot, grown on demand. */
  private heads = new Int32Array(FIRST_LINKS);
  private linkMap = new Int32Array(FIRST_LINKS);
  private linkChunk = new Int32Array(FIRST_LINKS);
  private linkNext = new Int32Array(FIRST_LINKS);
  /** Link 0 means none. */
  private linkEnd = 1;
  private freeLink = NO_LINK;

  constructor(private readonly chunkSizeBytes: Bytes) {}

  create(chunks: number): SlotMap {
    const map: SlotMap = {
      chunkSizeBytes: this.chunkSizeBytes,
      words: new Int32Array(new SharedArrayBuffer(chunks * Int32Array.BYTES_PER_ELEMENT)),
    };
    const hole = this.maps.indexOf(undefined);
    const number = hole < 0 ? this.maps.length : hole;
    this.maps[number] = map;
    this.linkCounts[number] = 0;
    this.numbers.set(map, number);
    return map;
  }

  has(map: SlotMap): boolean {
    return this.numbers.has(map);
  }

  /** Forgets the map. Its words stay as they are; nobody may use them any more. */
  forget(map: SlotMap): void {
    const number = this.numbers.get(map);
    if (number === undefined) return;
    for (let chunk = 0; chunk < map.words.length && this.linkCounts[number]! > 0; chunk++) {
      const word = map.words[chunk]!;
      if (word >= FIRST_SLOT) this.unlink(word - FIRST_SLOT, number, chunk);
    }
    this.numbers.delete(map);
    this.maps[number] = undefined;
  }

  /** Says in the map that the chunk is in the slot. A map that was forgotten, or a chunk beyond its end, is left alone. */
  publish(map: SlotMap, chunk: ChunkNumber, slot: SlotNumber): void {
    const number = this.numbers.get(map);
    if (number === undefined || chunk >= map.words.length) return;
    const word = map.words[chunk]!;
    if (word === slot + FIRST_SLOT) return;
    if (word >= FIRST_SLOT) this.unlink(word - FIRST_SLOT, number, chunk);
    this.link(slot, number, chunk);
    Atomics.store(map.words, chunk, slot + FIRST_SLOT);
  }

  /** Says in the map that the chunk is all zeros. */
  markZero(map: SlotMap, chunk: ChunkNumber): void {
    const number = this.numbers.get(map);
    if (number === undefined || chunk >= map.words.length) return;
    const word = map.words[chunk]!;
    if (word >= FIRST_SLOT) this.unlink(word - FIRST_SLOT, number, chunk);
    Atomics.store(map.words, chunk, SLOT_ZERO);
  }

  /** Makes every word that names the slot unknown. Synchronous: afterwards no map names it. */
  clear(slot: SlotNumber): void {
    let link = this.heads[slot] ?? NO_LINK;
    while (link !== NO_LINK) {
      const number = this.linkMap[link]!;
      const map = this.maps[number];
      if (map !== undefined) Atomics.store(map.words, this.linkChunk[link]!, SLOT_UNKNOWN);
      this.linkCounts[number]!--;
      const next = this.linkNext[link]!;
      this.recycle(link);
      link = next;
    }
    if (slot < this.heads.length) this.heads[slot] = NO_LINK;
  }

  private link(slot: SlotNumber, number: number, chunk: ChunkNumber): void {
    if (slot >= this.heads.length) this.heads = grown(this.heads, slot + 1);
    let link = this.freeLink;
    if (link === NO_LINK) {
      link = this.linkEnd++;
      if (link >= this.linkMap.length) {
        this.linkMap = grown(this.linkMap, link + 1);
        this.linkChunk = grown(this.linkChunk, link + 1);
        this.linkNext = grown(this.linkNext, link + 1);
      }
    } else {
      this.freeLink = this.linkNext[link]!;
    }
    this.linkMap[link] = number;
    this.linkChunk[link] = chunk;
    this.linkNext[link] = this.heads[slot]!;
    this.heads[slot] = link;
    this.linkCounts[number]!++;
  }

  private unlink(slot: SlotNumber, number: number, chunk: ChunkNumber): void {
    let before = NO_LINK;
    for (let link = this.heads[slot] ?? NO_LINK; link !== NO_LINK; link = this.linkNext[link]!) {
      if (this.linkMap[link] === number && this.linkChunk[link] === chunk) {
        if (before === NO_LINK) this.heads[slot] = this.linkNext[link]!;
        else this.linkNext[before] = this.linkNext[link]!;
        this.linkCounts[number]!--;
        this.recycle(link);
        return;
      }
      before = link;
    }
  }

  private recycle(link: number): void {
    this.linkNext[link] = this.freeLink;
    this.freeLink = link;
  }
}

function grown(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(Math.max(length, array.length * 2));
  longer.set(array);
  return longer;
}
