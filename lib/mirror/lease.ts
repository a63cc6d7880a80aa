/**
 * What one `ensure` holds: pins on slots, and the bytes of chunks that could not be kept.
 *
 * A pin keeps a slot from beginning to leave, so what was published with it stays readable for the holder.
 */
import type { ChunkNumber, SlotNumber } from '../format/geometry.js';
import type { Lease } from './api.js';
import type { SlotTable } from './slot-table.js';

export class SlotLease implements Lease {
  private readonly slots: SlotNumber[] = [];
  private readonly transients = new Map<ChunkNumber, Uint8Array>();
  private released = false;

  /** `onRelease` is called once, after the pins are gone. */
  constructor(
    private readonly table: SlotTable,
    private readonly onRelease: () => void,
  ) {}

  hold(slot: SlotNumber): void {
    if (this.released) return;
    this.table.pin(slot);
    this.slots.push(slot);
  }

  carry(chunk: ChunkNumber, bytes: Uint8Array): void {
    if (!this.released) this.transients.set(chunk, bytes);
  }

  transient(chunk: ChunkNumber): Uint8Array | undefined {
    return this.transients.get(chunk);
  }

  /** A second call does nothing. */
  release(): void {
    if (this.released) return;
    this.released = true;
    for (const slot of this.slots) this.table.unpin(slot);
    this.transients.clear();
    this.onRelease();
  }
}
