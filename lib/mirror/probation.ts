/**
 * Which kept chunks have shown that they are wanted more than once: the others leave first, so that a scan does not empty the
 * mirror. The method is that of 2Q (Johnson and Shasha, "2Q: A Low Overhead High Performance Buffer Management Replacement
 * Algorithm", VLDB 1994), over the clock instead of two lists.
 *
 * A chunk enters on probation. It is proven when its image is opened again while it is here, or when it is fetched again
 * soon after it has left: reads within one opening prove nothing, since a chunk is read in many small pieces. As long as more than a
 * quarter of the chunks is on probation, only they may leave. What an earlier process kept counts as proven. No I/O, no clock.
 */
import type { SlotNumber } from '../format/geometry.js';
import type { ChunkId } from '../format/references.js';

/** Chunks on probation that are always left room for: what is needed now has to stay until it has been used. */
const SHARE = 1 / 4;
/** Most names of chunks that have left, about 10 MB of memory. */
const MOST_GONE = 65_536;

export class Probation {
  private onProbation = new Uint8Array(0);
  private count = 0;
  /** The oldest first. */
  private readonly gone = new Set<ChunkId>();

  /** The chunk has just been kept in the slot. */
  entered(slot: SlotNumber, id: ChunkId): void {
    if (this.gone.delete(id)) return;
    if (slot >= this.onProbation.length) this.growTo(slot + 1);
    this.onProbation[slot] = 1;
    this.count++;
  }

  /** Somebody else, or the same one later, wants the chunk. */
  wantedAgain(slot: SlotNumber): void {
    if (this.onProbation[slot] !== 1) return;
    this.onProbation[slot] = 0;
    this.count--;
  }

  /** The chunk is in the slot no more. `usedSlots`: as many names are kept as there are chunks here. */
  left(slot: SlotNumber, id: ChunkId, usedSlots: number): void {
    this.wantedAgain(slot);
    this.gone.add(id);
    for (const oldest of this.gone) {
      if (this.gone.size <= Math.min(MOST_GONE, Math.max(1, usedSlots))) break;
      this.gone.delete(oldest);
    }
  }

  has(slot: SlotNumber): boolean {
    return this.onProbation[slot] === 1;
  }

  /** Whether only chunks on probation may leave now. */
  leavesFirst(usedSlots: number): boolean {
    return this.count > usedSlots * SHARE;
  }

  private growTo(slots: number): void {
    const longer = new Uint8Array(Math.max(slots, this.onProbation.length * 2, 256));
    longer.set(this.onProbation);
    this.onProbation = longer;
  }
}
