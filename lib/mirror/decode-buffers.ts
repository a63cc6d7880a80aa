/**
 * Memory that chunks are decoded into, used again for the next ones. Fresh memory for each chunk costs the system's zeroing of its
 * pages, and makes the garbage collector run every few dozen chunks, for memory that it does not even see.
 *
 * A buffer is taken for as long as its chunk is handled, so there are never more than chunks that are handled at once.
 */
import type { Bytes } from '../format/geometry.js';

export class DecodeBuffers {
  private spare: Buffer[] = [];

  /** Memory of this length with anything in it, the caller's until it is given back, or for ever. */
  take(sizeBytes: Bytes): Buffer {
    const spare = this.spare.pop();
    // Chunks of several sizes at once are rare: what does not fit is dropped.
    return spare?.length === sizeBytes ? spare : Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** Nobody reads or writes it any more. */
  giveBack(buffer: Buffer): void {
    this.spare.push(buffer);
  }

  /** Keeps nothing of what was given back. */
  clear(): void {
    this.spare = [];
  }
}
