/** A disk in a container, as it is served by QEMU: what it says to be zero is not read, the rest several chunks ahead. */
import type { Bytes } from '../format/geometry.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import { ChunkMemory } from './chunk-memory.js';
import { assertImageSize, type ImageSource } from './image-source.js';
import type { NbdClient } from './nbd-client.js';
import type { ServedDisk } from './qemu.js';

/** What a served disk stands on. */
export interface Ground {
  /** CONFLICT: somebody has written to it since. */
  assertUnchanged(): Promise<void>;
  close(): Promise<void>;
}

/** Chunks that are read at once: each read is a round trip to another process. */
const PARALLEL_READS = 8;

export class ContainerSource implements ImageSource {
  readonly sizeBytes: Bytes;
  readonly #memory = new ChunkMemory();
  readonly #client: NbdClient;

  /** TOO_LARGE. Disk and ground are closed with the source. */
  constructor(
    private readonly disk: ServedDisk,
    private readonly name: string,
    private readonly ground: Ground,
  ) {
    this.#client = disk.client;
    this.sizeBytes = disk.client.sizeBytes;
    assertImageSize(this.sizeBytes, name);
  }

  async *chunks(chunkSizeBytes: Bytes): AsyncGenerator<Uint8Array | null> {
    const ahead: Promise<Uint8Array | null>[] = [];
    for await (const [offset, isZero] of this.#plan(chunkSizeBytes)) {
      const chunk = isZero ? Promise.resolve(null) : this.#read(offset, chunkSizeBytes);
      chunk.catch(() => undefined); // seen in its turn
      ahead.push(chunk);
      if (ahead.length >= PARALLEL_READS) yield await ahead.shift()!;
    }
    while (ahead.length > 0) yield await ahead.shift()!;
    await this.ground.assertUnchanged();
  }

  giveBack(chunk: Uint8Array): void {
    this.#memory.giveBack(chunk);
  }

  finalSizeBytes(): Bytes {
    return this.sizeBytes;
  }

  async close(): Promise<void> {
    await this.disk.close();
    await this.ground.close();
  }

  /** Where each chunk begins, and whether all of it is zero. */
  async *#plan(chunkSizeBytes: Bytes): AsyncGenerator<[offset: Bytes, isZero: boolean]> {
    let known = 0;
    let isZero = true;
    let offset = 0;
    while (known < this.sizeBytes) {
      for (const extent of await this.#orIo(known, this.#client.extents(known))) {
        isZero &&= extent.isZero;
        known = Math.min(known + extent.lengthBytes, this.sizeBytes);
        for (; offset + chunkSizeBytes <= known; offset += chunkSizeBytes) {
          yield [offset, isZero];
          isZero = extent.isZero;
        }
        // A chunk that begins exactly where the next extent does owes nothing to this one.
        if (offset === known) isZero = true;
      }
    }
    if (offset < this.sizeBytes) yield [offset, isZero];
  }

  async #read(offset: Bytes, chunkSizeBytes: Bytes): Promise<Uint8Array> {
    const bytes = this.#memory.take(chunkSizeBytes);
    const lengthBytes = Math.min(chunkSizeBytes, this.sizeBytes - offset);
    bytes.fill(0, lengthBytes);
    await this.#orIo(offset, this.#client.read(offset, bytes.subarray(0, lengthBytes)));
    return bytes;
  }

  async #orIo<T>(offset: Bytes, request: Promise<T>): Promise<T> {
    try {
      return await request;
    } catch (error) {
      throw new LazydiskError('IO', `${this.name} can't be read at ${offset}: ${messageOf(error)}.`, { cause: error });
    }
  }
}
