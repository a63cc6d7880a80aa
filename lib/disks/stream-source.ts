/** A raw disk as bytes that come once, in order; its size shows at its end. Chunks of zeros are found by whoever writes them. */
import type { Bytes } from '../format/geometry.js';
import { ChunkMemory } from './chunk-memory.js';
import { assertImageSize, type ImageSource } from './image-source.js';
import type { Input } from './input.js';

export interface StreamSourceOptions {
  /** Looks at the last bytes, up to SIGNATURE_BYTES, before the end is told; throws when they are not those of a raw disk. */
  readonly checkEnd: (end: Buffer) => void;
  /** Bytes of the end that `checkEnd` wants. */
  readonly endBytes: Bytes;
}

export class StreamSource implements ImageSource {
  readonly sizeBytes = null;
  readonly #memory = new ChunkMemory();
  #readBytes = 0;

  constructor(
    private readonly input: Input,
    private readonly name: string,
    private readonly options: StreamSourceOptions,
  ) {}

  async *chunks(chunkSizeBytes: Bytes): AsyncGenerator<Buffer> {
    let filling = this.#memory.take(chunkSizeBytes);
    let filled = 0;
    let before: Buffer = Buffer.alloc(0);
    for await (const piece of this.input) {
      for (let taken = 0; taken < piece.length;) {
        const copied = piece.copy(filling, filled, taken);
        taken += copied;
        filled += copied;
        this.#readBytes += copied;
        if (filled < chunkSizeBytes) continue;
        assertImageSize(this.#readBytes, this.name);
        before = Buffer.from(filling.subarray(-this.options.endBytes));
        yield filling;
        filling = this.#memory.take(chunkSizeBytes);
        filled = 0;
      }
    }
    this.options.checkEnd(Buffer.concat([before, filling.subarray(0, filled)]).subarray(-this.options.endBytes));
    filling.fill(0, filled);
    if (filled > 0) yield filling;
  }

  giveBack(chunk: Uint8Array): void {
    this.#memory.giveBack(chunk);
  }

  finalSizeBytes(): Bytes {
    return this.#readBytes;
  }

  async close(): Promise<void> {
    await this.input.close();
  }
}
