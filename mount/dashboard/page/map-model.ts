/** The picture of the image as the page has it: what was sent whole, with the changes that came since. */
import { SHARE_SHIFT } from '../../../lib/image/picture-cells.js';
import type { ChangeMessage, FirstReadsMessage, MapMessage } from '../protocol.js';

/** What the map shows. */
export type Lens = 'state' | 'touched' | 'profile';

export class MapModel {
  image = '';
  sizeBytes = 0;
  chunkSizeBytes = 1;
  chunks = 0;
  chunksPerCell = 1;
  counts: MapMessage['counts'] = { zero: 0, unknown: 0, remote: 0, local: 0, frozen: 0, dirty: 0, fetching: 0 };
  cells = new Uint8Array(0);
  /** Cells that have changed state, and when, by performance.now(). */
  readonly changed = new Map<number, number>();
  private orders: FirstReadsMessage | undefined;
  private touched = new Uint8Array(0);
  private profile = new Uint8Array(0);

  replace(message: MapMessage): void {
    if (message.image !== this.image || message.chunks !== this.chunks) this.forgetOrders();
    const { image, sizeBytes, chunkSizeBytes, chunks, chunksPerCell, counts } = message;
    Object.assign(this, { image, sizeBytes, chunkSizeBytes, chunks, chunksPerCell, counts });
    this.cells = decode(message.cells);
    this.changed.clear();
  }

  change({ counts, stretches }: ChangeMessage): void {
    this.counts = counts;
    const nowMs = performance.now();
    for (const [first, cells] of stretches) {
      for (const [index, value] of decode(cells).entries()) {
        const cell = first + index;
        if (this.cells[cell] === value) continue;
        this.cells[cell] = value;
        this.changed.set(cell, nowMs);
      }
    }
  }

  setOrders(message: FirstReadsMessage): void {
    this.orders = message;
    this.touched = decode(message.touched.cells);
    this.profile = decode(message.profile.cells);
  }

  /** How many chunks the order names; undefined: it has not come yet. */
  orderedChunks(lens: 'touched' | 'profile'): number | undefined {
    return this.orders?.[lens].chunks;
  }

  /** 0: never; 1: first; 255: last. */
  orderOf(lens: 'touched' | 'profile', cell: number): number {
    return this[lens][cell] ?? 0;
  }

  stateOf(cell: number): number {
    return (this.cells[cell] ?? 0) & ((1 << SHARE_SHIFT) - 1);
  }

  /** Of the chunks of the cell that are not zero, eighths that have its state: 1 to 8. */
  eighthsOf(cell: number): number {
    return ((this.cells[cell] ?? 0) >> SHARE_SHIFT) + 1;
  }

  offsetOf(cell: number): number {
    return cell * this.chunksPerCell * this.chunkSizeBytes;
  }

  private forgetOrders(): void {
    this.orders = undefined;
    this.touched = new Uint8Array(0);
    this.profile = new Uint8Array(0);
  }
}

function decode(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
