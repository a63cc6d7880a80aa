/** Memory for chunks, used again: allocating a chunk costs more than reading it, and an image has thousands. */
import type { Bytes } from '../format/geometry.js';

export class ChunkMemory {
  readonly #free: Buffer[] = [];

  /** A chunk with any content. */
  take(sizeBytes: Bytes): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** Only what `take` gave, all of one size. */
  giveBack(chunk: Uint8Array): void {
    this.#free.push(chunk as Buffer);
  }
}
