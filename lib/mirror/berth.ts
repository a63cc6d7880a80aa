/**
 * Slots set aside side by side for the chunks of one run, so that what stands together in an image can be read together.
 *
 * They are allocated when the first chunk of the run has come, all at once, where there is room for all of them. Whoever finds
 * no slot here takes a single one. What was not taken when the run ends is free again: nothing was written to it.
 */
import type { SlotNumber } from '../format/geometry.js';
import type { Eviction, WhenFull } from './eviction.js';
import type { SlotPool } from './slot-pool.js';

export class Berth {
  private opening: Promise<void> | undefined;
  private slots: (SlotNumber | undefined)[] = [];

  constructor(
    private readonly pool: SlotPool,
    private readonly eviction: Eviction,
    private readonly count: number,
    private readonly whenFull: WhenFull,
  ) {}

  /** The slot of the n-th chunk of the run, `filling`; undefined: there is none. Never rejects. */
  async take(n: number): Promise<SlotNumber | undefined> {
    this.opening ??= this.open();
    await this.opening;
    const slot = this.slots[n];
    this.slots[n] = undefined;
    return slot;
  }

  /** Gives back what was not taken. Nothing may be taken afterwards. */
  async leave(): Promise<void> {
    await this.opening;
    for (const slot of this.slots) if (slot !== undefined) this.pool.table.release(slot);
    this.slots = [];
  }

  private async open(): Promise<void> {
    const bytes = this.count * this.pool.chunkSizeBytes;
    const hasRoom = await this.eviction.reserve(bytes, this.whenFull).catch(() => false);
    this.slots = hasRoom ? this.pool.table.allocate(this.count) : [];
    this.eviction.unreserve(bytes);
  }
}
