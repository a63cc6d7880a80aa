/**
 * Finds the slot of a chunk id in memory: a hash table of slot numbers over a column of binary ids.
 *
 * Open addressing with linear probing, at most half full; an entry is slot + 1, so that fresh memory is empty. A chunk id is
 * a SHA-256 and serves as its own hash. Removing shifts later entries of the probe sequence back: there are no tombstones.
 * Eight to sixteen bytes per slot, where a Map of strings would take more than a hundred.
 */
import type { SlotNumber } from '../format/geometry.js';

/** Bytes of a binary chunk id. */
export const ID_BYTES = 32;

const SMALLEST_TABLE = 1024;

/** Where the ids are: the id of slot n stands at n * ID_BYTES. The buffer may be replaced by a longer one at any time. */
export interface IdColumn {
  readonly ids: Buffer;
}

export class IdIndex {
  private table = new Int32Array(SMALLEST_TABLE);
  private entries = 0;

  constructor(private readonly column: IdColumn) {}

  /** The slot with this binary id. */
  find(id: Buffer): SlotNumber | undefined {
    const mask = this.table.length - 1;
    const { ids } = this.column;
    const head = id.readInt32LE(0);
    for (let at = head & mask; this.table[at] !== 0; at = (at + 1) & mask) {
      const slot = this.table[at]! - 1;
      if (ids.readInt32LE(slot * ID_BYTES) !== head) continue;
      if (id.compare(ids, slot * ID_BYTES, (slot + 1) * ID_BYTES) === 0) return slot;
    }
    return undefined;
  }

  /** Adds a slot whose id stands in the column and is not in the index yet. */
  add(slot: SlotNumber): void {
    this.entries++;
    if (this.entries * 2 > this.table.length) this.grow();
    this.place(slot);
  }

  /** Removes a slot; its id must still stand in the column. */
  remove(slot: SlotNumber): void {
    const mask = this.table.length - 1;
    let at = this.homeOf(slot);
    while (this.table[at] !== slot + 1) {
      if (this.table[at] === 0) return;
      at = (at + 1) & mask;
    }
    this.entries--;
    for (let next = (at + 1) & mask; this.table[next] !== 0; next = (next + 1) & mask) {
      const home = this.homeOf(this.table[next]! - 1);
      // The entry may move back to `at` unless its home lies cyclically after `at`.
      if (((next - home) & mask) < ((next - at) & mask)) continue;
      this.table[at] = this.table[next]!;
      at = next;
    }
    this.table[at] = 0;
  }

  private homeOf(slot: SlotNumber): number {
    return this.column.ids.readInt32LE(slot * ID_BYTES) & (this.table.length - 1);
  }

  private place(slot: SlotNumber): void {
    const mask = this.table.length - 1;
    let at = this.homeOf(slot);
    while (this.table[at] !== 0) at = (at + 1) & mask;
    this.table[at] = slot + 1;
  }

  private grow(): void {
    const old = this.table;
    this.table = new Int32Array(old.length * 2);
    for (const entry of old) if (entry !== 0) this.place(entry - 1);
  }
}
