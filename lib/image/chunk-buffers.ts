/**
 * The buffers of one commit's chunks, used again: a fresh one per chunk makes the collector run every few dozen chunks, which
 * takes more of the processor than hashing and coding together.
 *
 * A buffer has up to two users at once, the writer of the snapshot and the mirror, and is spare when both have done.
 */
import type { Bytes } from '../format/geometry.js';

export class ChunkBuffers {
  private readonly spare: Buffer[] = [];
  /** Of buffers that are in use: everything but the writer that reads them. */
  private readonly readers = new Map<Uint8Array, Promise<void>>();

  constructor(private readonly chunkSizeBytes: Bytes) {}

  /** A buffer with any bytes in it. */
  take(): Buffer {
    return this.spare.pop() ?? Buffer.allocUnsafeSlow(this.chunkSizeBytes);
  }

  /** `reading` reads the bytes too, and settles when it has done. At most once between `take` and `giveBack`. */
  alsoReadBy(bytes: Uint8Array, reading: Promise<void>): void {
    this.readers.set(bytes, reading);
  }

  /** Whoever took the buffer has done with it. */
  giveBack(bytes: Buffer): void {
    const reading = this.readers.get(bytes);
    this.readers.delete(bytes);
    if (reading === undefined) this.spare.push(bytes);
    else void reading.finally(() => this.spare.push(bytes));
  }
}
