/**
 * What each slot of one slot file holds, in memory: the truth of this process, of which LevelDB keeps a record.
 *
 *   free ──allocate──> filling ──keep──> kept ──unpublish──> unpublished ──> leaving ──release──> free
 *                         └──release──> free    ^─────rescue──────┘             ^
 *   (found in the record, another boot) unverified ──keep──> kept; or ──────────┘       any of them ──retire──> retired
 *
 * Only a `kept` slot may be named by a slot map. `unpublished`: no map names it any more, workers may still read it; it can be
 * rescued, since neither its bytes nor its record were touched. `leaving`: its record is being deleted; nothing brings it
 * back. `retired`: the disk failed here; never used again by this process. A pinned slot never begins to leave.
 *
 * Allocation prefers one ascending run for neighbouring chunks, among the free slots if they hold one, else behind the last
 * slot ever used; with many scattered free slots it fills those first, so that the file stays at most about twice as long
 * as what is in it. Tables grow by doubling. Nothing here does I/O.
 */
import type { Bytes, SlotNumber } from '../format/geometry.js';
import type { ChunkId } from '../format/references.js';
import { ID_BYTES, IdIndex } from './id-index.js';
import { Probation } from './probation.js';

/** States of a slot. */
export const FREE = 0;
export const FILLING = 1;
export const KEPT = 2;
export const UNVERIFIED = 3;
export const UNPUBLISHED = 4;
export const LEAVING = 5;
export const RETIRED = 6;
export type SlotState =
  typeof FREE | typeof FILLING | typeof KEPT | typeof UNVERIFIED | typeof UNPUBLISHED | typeof LEAVING | typeof RETIRED;

/** How many free places are looked at for one that has room for a whole run. */
const RUN_TRIES = 64;

export class SlotTable {
  /** Binary ids by slot. */
  ids: Buffer = Buffer.alloc(0);
  private states = new Uint8Array(0);
  readonly probation = new Probation();
  private readonly index = new IdIndex(this);
  private readonly pins = new Map<SlotNumber, number>();
  /** Slots from here on were never used. */
  private end = 0;
  /** Free slots below `end`. */
  private freeSlots = 0;
  /** No free slot lies below this one. */
  private lowestFree = 0;
  private retiredSlots = 0;
  /** Allocated, and not kept or given back yet. */
  fillingSlots = 0;

  /** `capacity`: no slot number reaches it. */
  constructor(
    readonly chunkSizeBytes: Bytes,
    readonly capacity: number,
  ) {}

  /** One more than the highest slot in use or ever used. */
  get slots(): number {
    return this.end;
  }

  /** Slots that hold, get or give up a chunk. */
  get usedSlots(): number {
    return this.end - this.freeSlots - this.retiredSlots;
  }

  get usedBytes(): Bytes {
    return this.usedSlots * this.chunkSizeBytes;
  }

  state(slot: SlotNumber): SlotState {
    return (this.states[slot] ?? FREE) as SlotState;
  }

  /** The slot whose chunk has this id: kept, unverified, unpublished or leaving. */
  find(id: ChunkId): SlotNumber | undefined {
    const binary = Buffer.from(id, 'hex');
    return binary.length === ID_BYTES ? this.index.find(binary) : undefined;
  }

  idOf(slot: SlotNumber): ChunkId {
    return this.ids.toString('hex', slot * ID_BYTES, (slot + 1) * ID_BYTES);
  }

  /** Takes up to `count` free slots (fewer only at the end of the capacity), which become `filling`. */
  allocate(count: number): SlotNumber[] {
    const first = this.findRun(count);
    const slots: SlotNumber[] = [];
    for (let taken = 0; taken < count; taken++) {
      const slot = first === undefined ? this.nextSingle() : first + taken;
      if (slot === undefined) break;
      this.take(slot, FILLING);
      this.fillingSlots++;
      slots.push(slot);
    }
    return slots;
  }

  /** A chunk that the record found in a slot. False: the slot or the id is taken, or out of range. */
  adopt(slot: SlotNumber, id: ChunkId, state: typeof KEPT | typeof UNVERIFIED): boolean {
    if (slot >= this.capacity || this.state(slot) !== FREE || this.find(id) !== undefined) return false;
    this.take(slot, state);
    this.ids.write(id, slot * ID_BYTES, 'hex');
    this.index.add(slot);
    return true;
  }

  /** kept -> unverified, at the opening: the record is not to be believed after all. */
  distrust(slot: SlotNumber): void {
    if (this.state(slot) === KEPT) this.states[slot] = UNVERIFIED;
  }

  /** filling -> kept: the slot now holds the whole, verified chunk. Or unverified -> kept. */
  keep(slot: SlotNumber, id: ChunkId): void {
    if (this.state(slot) === FILLING) {
      this.fillingSlots--;
      this.probation.entered(slot, id);
      this.ids.write(id, slot * ID_BYTES, 'hex');
      this.index.add(slot);
    }
    this.states[slot] = KEPT;
  }

  /** kept -> unpublished. The caller has cleared the maps in the same turn. */
  unpublish(slot: SlotNumber): void {
    this.states[slot] = UNPUBLISHED;
  }

  /** unpublished -> kept. */
  rescue(slot: SlotNumber): void {
    this.states[slot] = KEPT;
  }

  /** unpublished or unverified -> leaving. */
  beginLeaving(slot: SlotNumber): void {
    this.states[slot] = LEAVING;
  }

  /** leaving -> kept or unverified, when the record could not be deleted. */
  stay(slot: SlotNumber, state: typeof KEPT | typeof UNVERIFIED): void {
    this.states[slot] = state;
  }

  /** filling or leaving -> free. A leaving slot's record is gone. */
  release(slot: SlotNumber): void {
    this.forget(slot);
    this.states[slot] = FREE;
    this.freeSlots++;
    this.lowestFree = Math.min(this.lowestFree, slot);
  }

  /** filling or leaving -> retired. */
  retire(slot: SlotNumber): void {
    this.forget(slot);
    this.states[slot] = RETIRED;
    this.retiredSlots++;
  }

  /** Holds the slot in place; counted. */
  pin(slot: SlotNumber): void {
    this.pins.set(slot, (this.pins.get(slot) ?? 0) + 1);
  }

  unpin(slot: SlotNumber): void {
    const count = this.pins.get(slot) ?? 0;
    if (count <= 1) this.pins.delete(slot);
    else this.pins.set(slot, count - 1);
  }

  /** Whether eviction may choose the slot. */
  mayLeave(slot: SlotNumber): boolean {
    const state = this.states[slot];
    return (state === KEPT || state === UNVERIFIED) && !this.pins.has(slot);
  }

  /** Runs of free slots below `slots`, ascending. */
  *freeRuns(): Generator<{ first: SlotNumber; count: number }> {
    for (let at = this.nextFree(0); at !== undefined;) {
      let after = at + 1;
      while (after < this.end && this.states[after] === FREE) after++;
      yield { first: at, count: after - at };
      at = this.nextFree(after);
    }
  }

  private forget(slot: SlotNumber): void {
    if (this.state(slot) === FILLING) {
      this.fillingSlots--;
    } else {
      this.probation.left(slot, this.idOf(slot), this.usedSlots);
      this.index.remove(slot);
    }
  }

  private take(slot: SlotNumber, state: SlotState): void {
    if (slot >= this.end) {
      this.growTo(slot + 1);
      this.freeSlots += slot - this.end; // those that were jumped over
      this.end = slot + 1;
    } else {
      this.freeSlots--;
    }
    this.states[slot] = state;
  }

  /** First slot of `count` free ones in a row, if there is such a run worth taking. */
  private findRun(count: number): SlotNumber | undefined {
    if (this.freeSlots >= count) {
      let at = this.nextFree(this.lowestFree);
      if (at !== undefined) this.lowestFree = at;
      for (let tries = 0; at !== undefined && tries < RUN_TRIES; tries++) {
        let length = 1;
        while (length < count && at + length < this.end && this.states[at + length] === FREE) length++;
        if (length === count) return at;
        at = this.nextFree(at + length);
      }
      if (this.freeSlots * 2 > this.end && this.freeSlots > RUN_TRIES) return undefined;
    }
    return this.end + count <= this.capacity ? this.end : undefined;
  }

  private nextSingle(): SlotNumber | undefined {
    const free = this.freeSlots === 0 ? undefined : this.nextFree(this.lowestFree);
    if (free !== undefined) {
      this.lowestFree = free;
      return free;
    }
    return this.end < this.capacity ? this.end : undefined;
  }

  private nextFree(from: SlotNumber): SlotNumber | undefined {
    const at = this.states.indexOf(FREE, from);
    return at >= 0 && at < this.end ? at : undefined;
  }

  private growTo(slots: number): void {
    if (slots <= this.states.length) return;
    const length = Math.min(this.capacity, Math.max(slots, this.states.length * 2, 256));
    const states = new Uint8Array(length);
    states.set(this.states);
    const ids = Buffer.alloc(length * ID_BYTES);
    this.ids.copy(ids);
    this.states = states;
    this.ids = ids;
  }
}
