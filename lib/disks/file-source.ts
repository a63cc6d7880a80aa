/**
 * A raw disk in a file or block device. Its holes are known and skipped; data is read several chunks ahead. A file that changes
 * meanwhile is an error: nobody knows what was read.
 */
import { readFile, type FileHandle } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import type { Bytes } from '../format/geometry.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import { seekData, seekHole } from '../util/syscalls.js';
import { ChunkMemory } from './chunk-memory.js';
import { assertImageSize, changedError, type ImageSource } from './image-source.js';

/** Chunks that are read at once. */
const PARALLEL_READS = 4;

export class FileSource implements ImageSource {
  readonly #memory = new ChunkMemory();

  /** TOO_LARGE. From here on, `file` is closed with the source. `modifiedNs`: null where it tells nothing. */
  constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    readonly sizeBytes: Bytes,
    private readonly modifiedNs: bigint | null,
  ) {
    assertImageSize(sizeBytes, path);
  }

  async *chunks(chunkSizeBytes: Bytes): AsyncGenerator<Uint8Array | null> {
    const ahead: Promise<Uint8Array | null>[] = [];
    let dataFrom = 0;
    let dataTo = 0;
    for (let offset = 0; offset < this.sizeBytes; offset += chunkSizeBytes) {
      const end = Math.min(offset + chunkSizeBytes, this.sizeBytes);
      if (offset >= dataTo) [dataFrom, dataTo] = this.#nextData(offset);
      const isHole = dataFrom >= end;
      const chunk = isHole ? Promise.resolve(null) : this.#read(offset, end, chunkSizeBytes);
      chunk.catch(() => undefined); // seen in its turn
      ahead.push(chunk);
      if (ahead.length >= PARALLEL_READS) yield await ahead.shift()!;
    }
    while (ahead.length > 0) yield await ahead.shift()!;
    await this.#assertUnchanged();
  }

  giveBack(chunk: Uint8Array): void {
    this.#memory.giveBack(chunk);
  }

  finalSizeBytes(): Bytes {
    return this.sizeBytes;
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** Where the next data at or after `offset` begins and ends. Data everywhere where holes can't be asked for. */
  #nextData(offset: number): [from: number, to: number] {
    try {
      const from = seekData(this.file.fd, offset);
      if (from === undefined) return [this.sizeBytes, this.sizeBytes];
      return [from, seekHole(this.file.fd, from)];
    } catch (error) {
      if (errnoOf(error) !== undefined) return [offset, this.sizeBytes];
      throw error;
    }
  }

  async #read(offset: number, end: number, chunkSizeBytes: number): Promise<Uint8Array> {
    const bytes = this.#memory.take(chunkSizeBytes);
    bytes.fill(0, end - offset);
    for (let done = offset; done < end;) {
      const { bytesRead } = await this.file.read(bytes, done - offset, end - done, done).catch((error: unknown) => {
        throw new LazydiskError('IO', `${this.path} can't be read at ${done}: ${messageOf(error)}.`, { cause: error });
      });
      if (bytesRead === 0) throw changedError(this.path);
      done += bytesRead;
    }
    return bytes;
  }

  async #assertUnchanged(): Promise<void> {
    if (this.modifiedNs === null) return;
    const stat = await this.file.stat({ bigint: true });
    if (stat.mtimeNs !== this.modifiedNs || Number(stat.size) !== this.sizeBytes) throw changedError(this.path);
  }
}

/** The size of a file or block device in bytes. */
export async function sizeOf(stat: BigIntStats): Promise<Bytes> {
  return stat.isBlockDevice() ? blockDeviceSize(stat.rdev) : Number(stat.size);
}

/** The kernel tells the size of a block device in units of 512 bytes. */
async function blockDeviceSize(device: bigint): Promise<number> {
  const major = Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn));
  const minor = Number((device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn));
  return Number((await readFile(`/sys/dev/block/${major}:${minor}/size`, 'utf8')).trim()) * 512;
}
