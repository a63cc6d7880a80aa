/**
 * What an import reads: a file (its holes are known and skipped), a block device, or a stream whose size shows at its end.
 *
 * A source yields the image's chunks in order, zero-padded at the end; null for a chunk that is a hole. Files are read
 * several chunks ahead, into memory that is used again: allocating a chunk costs more than reading it, and an image has
 * thousands.
 */
import { constants } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { MAX_IMAGE_BYTES, type Bytes } from '../format/geometry.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import { seekData, seekHole } from '../util/syscalls.js';
import { refuseForeignEnd, refuseForeignStart, SIGNATURE_BYTES } from './foreign-formats.js';

/** Chunks that are read at once from a file. */
const PARALLEL_READS = 4;

export interface ImageSource {
  /** null: it shows at the end. */
  readonly sizeBytes: Bytes | null;
  /** In order, from chunk 0, without gaps. USAGE (another format), IO, CONFLICT (changed while it was read). */
  chunks(chunkSizeBytes: Bytes): AsyncIterable<Uint8Array | null>;
  /** A chunk that `chunks` has given is not needed any more: its memory may hold a later one. */
  giveBack(chunk: Uint8Array): void;
  /** The size, once `chunks` has ended. */
  finalSizeBytes(): Bytes;
  close(): Promise<void>;
}

/** Opens a file or block device; something that can't be read by position (a pipe) becomes a stream. */
export async function openFileSource(path: string, raw: boolean): Promise<ImageSource> {
  const file = await open(path, constants.O_RDONLY).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    const stat = await file.stat({ bigint: true });
    if (stat.isDirectory()) throw new LazydiskError('USAGE', `${path} is a folder; a raw disk image was expected.`);
    if (stat.isFIFO() || stat.isCharacterDevice() || stat.isSocket()) {
      return streamSource(file.createReadStream(), path, raw);
    }
    const sizeBytes = stat.isBlockDevice() ? await blockDeviceSize(stat.rdev) : Number(stat.size);
    assertSize(sizeBytes, path);
    if (!raw) await refuseForeign(file, sizeBytes, path);
    return new FileSource(file, path, sizeBytes, stat.isBlockDevice() ? null : stat.mtimeNs);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

/** A source of bytes that come once, in order. */
export function streamSource(stream: Readable, name: string, raw: boolean): ImageSource {
  return new StreamSource(stream, name, raw);
}

class FileSource implements ImageSource {
  readonly #free: Uint8Array[] = [];

  constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    readonly sizeBytes: Bytes,
    private readonly modifiedNs: bigint | null,
  ) {}

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
    this.#free.push(chunk);
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
    const bytes = this.#free.pop() ?? Buffer.allocUnsafeSlow(chunkSizeBytes);
    bytes.fill(0, end - offset);
    for (let done = offset; done < end;) {
      const { bytesRead } = await this.file.read(bytes, done - offset, end - done, done).catch((error: unknown) => {
        throw new LazydiskError('IO', `${this.path} can't be read at ${done}: ${messageOf(error)}.`, { cause: error });
      });
      if (bytesRead === 0) throw changed(this.path);
      done += bytesRead;
    }
    return bytes;
  }

  async #assertUnchanged(): Promise<void> {
    if (this.modifiedNs === null) return;
    const stat = await this.file.stat({ bigint: true });
    if (stat.mtimeNs !== this.modifiedNs || Number(stat.size) !== this.sizeBytes) throw changed(this.path);
  }
}

class StreamSource implements ImageSource {
  readonly sizeBytes = null;
  #readBytes = 0;

  constructor(
    private readonly stream: Readable,
    private readonly name: string,
    private readonly raw: boolean,
  ) {}

  async *chunks(chunkSizeBytes: Bytes): AsyncGenerator<Buffer | null> {
    let filling = Buffer.alloc(chunkSizeBytes);
    let filled = 0;
    let before: Buffer = Buffer.alloc(0);
    let isFirst = true;
    const full = (): Buffer => {
      if (isFirst && !this.raw) refuseForeignStart(filling.subarray(0, Math.min(filled, SIGNATURE_BYTES)), this.name);
      isFirst = false;
      const whole = filling;
      before = whole.subarray(Math.max(0, filled - SIGNATURE_BYTES), filled);
      filling = Buffer.alloc(chunkSizeBytes);
      filled = 0;
      return whole;
    };
    for await (const piece of this.#pieces()) {
      for (let taken = 0; taken < piece.length;) {
        const copied = piece.copy(filling, filled, taken);
        taken += copied;
        filled += copied;
        this.#readBytes += copied;
        if (filled === chunkSizeBytes) {
          assertSize(this.#readBytes, this.name);
          yield full();
        }
      }
    }
    const end = Buffer.concat([before, filling.subarray(0, filled)]).subarray(-SIGNATURE_BYTES);
    if (!this.raw) refuseForeignEnd(end, this.name);
    if (filled > 0) yield full();
  }

  /** The pieces of a stream are fresh memory anyway. */
  giveBack(): void {}

  finalSizeBytes(): Bytes {
    return this.#readBytes;
  }

  close(): Promise<void> {
    this.stream.destroy();
    return Promise.resolve();
  }

  async *#pieces(): AsyncGenerator<Buffer> {
    try {
      for await (const piece of this.stream as AsyncIterable<Uint8Array | string>) {
        yield typeof piece === 'string'
          ? Buffer.from(piece)
          : Buffer.from(piece.buffer, piece.byteOffset, piece.length);
      }
    } catch (error) {
      throw new LazydiskError('IO', `${this.name} can't be read: ${messageOf(error)}.`, { cause: error });
    }
  }
}

async function refuseForeign(file: FileHandle, sizeBytes: number, path: string): Promise<void> {
  const start = Buffer.alloc(Math.min(SIGNATURE_BYTES, sizeBytes));
  await file.read(start, 0, start.length, 0);
  refuseForeignStart(start, path, path);
  if (sizeBytes < SIGNATURE_BYTES) return;
  const end = Buffer.alloc(SIGNATURE_BYTES);
  await file.read(end, 0, end.length, sizeBytes - SIGNATURE_BYTES);
  refuseForeignEnd(end, path, path);
}

/** The kernel tells the size of a block device in units of 512 bytes. */
async function blockDeviceSize(device: bigint): Promise<number> {
  const major = Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn));
  const minor = Number((device & 0xffn) | ((device >> 12n) & ~0xffn & 0xffffffffn));
  return Number((await readFile(`/sys/dev/block/${major}:${minor}/size`, 'utf8')).trim()) * 512;
}

function assertSize(sizeBytes: number, name: string): void {
  if (sizeBytes <= MAX_IMAGE_BYTES) return;
  throw new LazydiskError(
    'TOO_LARGE',
    `${name} has more than ${MAX_IMAGE_BYTES} bytes, the most that an image may have.`,
  );
}

function changed(path: string): LazydiskError {
  return new LazydiskError(
    'CONFLICT',
    `${path} changed while it was read; stop whoever writes to it and import again.`,
  );
}

function unreadable(path: string, error: unknown): LazydiskError {
  const code = errnoOf(error) === 'ENOENT' ? 'NOT_FOUND' : 'USAGE';
  const reason = errnoOf(error) === 'ENOENT' ? 'does not exist' : `can't be opened: ${messageOf(error)}`;
  return new LazydiskError(code, `${path} ${reason}.`, { cause: error });
}
