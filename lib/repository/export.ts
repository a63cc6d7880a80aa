/**
 * Export: a snapshot becomes a sparse raw file, or a stream of all its bytes.
 *
 * A file is written under a temporary name beside its target and renamed when it is whole and synced, so an interrupted
 * export leaves nothing that looks finished. Only blocks that are not zero are written. Every chunk is verified.
 */
import { once } from 'node:events';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { finished, type Writable } from 'node:stream';
import { isZero, randomId } from '../format/checksums.js';
import { BLOCK_SIZE, type Bytes } from '../format/geometry.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import type { Repository, TreeReader } from './api.js';
import { streamChunks } from './chunk-stream.js';
import { throwIfAborted } from './single-flight.js';

/** Chunks that are being written to the file at once. */
const PARALLEL_WRITES = 4;

/** Zeros between chunks of a stream are sent in pieces of this size. */
const ZEROS = Buffer.alloc(256 * 1024);

export interface ExportOptions {
  readonly image: string;
  /** The newest when it is not given. */
  readonly number?: number | undefined;
  readonly target:
    | {
        readonly kind: 'file';
        readonly path: string;
        /** Replace what is there. */ readonly force?: boolean | undefined;
      }
    | { readonly kind: 'stream'; readonly stream: Writable };
  readonly trees?: TreeReader | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ExportProgress) => void) | undefined;
}

export interface ExportProgress {
  /** How far in the image, bytes. */
  readonly processedBytes: Bytes;
  readonly totalBytes: Bytes;
  readonly downloadedBytes: Bytes;
}

export interface ExportResult {
  readonly image: string;
  readonly number: number;
  readonly sizeBytes: Bytes;
  readonly downloadedBytes: Bytes;
  /** False when the reader of the stream went away before the end. */
  readonly complete: boolean;
}

/** NOT_FOUND, EXISTS (the target), DAMAGED, IO, NO_SPACE, ABORTED, and the errors of the store. */
export async function exportImage(repository: Repository, options: ExportOptions): Promise<ExportResult> {
  const { image, target, signal } = options;
  const record = await findRecord(repository, image, options.number, signal);
  const progress = new Progress(record.sizeBytes, options.onProgress);
  const chunks = pieces(repository, record, options, progress);
  const complete =
    target.kind === 'file'
      ? await writeFile(target.path, target.force ?? false, record, chunks)
      : await writeStream(target.stream, record.sizeBytes, chunks, signal);
  const { number, sizeBytes } = record;
  return { image, number, sizeBytes, downloadedBytes: progress.downloadedBytes, complete };
}

/** A part of the image that is not zero. */
interface Piece {
  readonly offset: Bytes;
  readonly bytes: Buffer;
}

async function findRecord(
  repository: Repository,
  image: string,
  number: number | undefined,
  signal: AbortSignal | undefined,
): Promise<SnapshotRecord> {
  if (number !== undefined) return repository.readRecord(image, number, signal);
  const newest = (await repository.listImage(image, signal)).snapshots.at(-1);
  if (newest !== undefined) return repository.readRecord(image, newest.number, signal);
  throw new LazydiskError('NOT_FOUND', `${image} has no snapshot in ${repository.store.location}.`, {
    facts: { image },
  });
}

async function* pieces(
  repository: Repository,
  record: SnapshotRecord,
  { trees, signal }: ExportOptions,
  progress: Progress,
): AsyncGenerator<Piece> {
  for await (const { chunk, bytes } of streamChunks(repository.store, trees ?? repository.trees(), record, signal)) {
    throwIfAborted(signal);
    const offset = chunk * record.chunkSizeBytes;
    yield { offset, bytes: bytes.subarray(0, Math.min(bytes.length, record.sizeBytes - offset)) };
    progress.advance(offset + bytes.length, bytes.length);
  }
  progress.advance(record.sizeBytes, 0);
}

async function writeFile(
  path: string,
  force: boolean,
  record: SnapshotRecord,
  chunks: AsyncIterable<Piece>,
): Promise<true> {
  await assertFree(path, force);
  const temporary = join(dirname(path), `.${basename(path)}.${randomId().slice(0, 8)}.partial`);
  const file = await open(temporary, 'wx', 0o666).catch((error: unknown) => {
    throw ioError(path, error);
  });
  try {
    try {
      await file.truncate(record.sizeBytes);
      await writePieces(file, chunks);
      await file.sync();
    } finally {
      await file.close();
    }
    await assertFree(path, force);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error instanceof LazydiskError ? error : ioError(path, error);
  }
  return true;
}

async function writePieces(file: FileHandle, chunks: AsyncIterable<Piece>): Promise<void> {
  const running: Promise<void>[] = [];
  try {
    for await (const piece of chunks) {
      const write = writeBlocks(file, piece);
      write.catch(() => undefined); // seen below
      running.push(write);
      if (running.length >= PARALLEL_WRITES) await running.shift();
    }
  } finally {
    // The file may not be closed under a write.
    await Promise.allSettled(running);
  }
  await Promise.all(running);
}

/** Writes runs of blocks that are not zero. */
async function writeBlocks(file: FileHandle, { offset, bytes }: Piece): Promise<void> {
  let from = 0;
  for (let at = 0; at < bytes.length; at += BLOCK_SIZE) {
    if (!isZero(bytes.subarray(at, at + BLOCK_SIZE))) continue;
    await writeAll(file, bytes.subarray(from, at), offset + from);
    from = at + BLOCK_SIZE;
  }
  await writeAll(file, bytes.subarray(from), offset + from);
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Whether all was taken: false when the reader went away (`export … - | head`), which is no error. */
async function writeStream(
  stream: Writable,
  sizeBytes: Bytes,
  chunks: AsyncIterable<Piece>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const outcome: { error?: unknown; ended: boolean } = { ended: false };
  const cleanup = finished(stream, { readable: false }, (error) => {
    outcome.error = error ?? undefined;
    outcome.ended = true;
  });
  const send = async (bytes: Buffer): Promise<void> => {
    if (outcome.ended) throw outcome.error ?? new ReaderGone();
    if (bytes.length === 0 || stream.write(bytes)) return;
    await drained(stream);
  };
  let position = 0;
  const zerosUntil = async (offset: number): Promise<void> => {
    while (position < offset) {
      throwIfAborted(signal);
      const lengthBytes = Math.min(ZEROS.length, offset - position);
      await send(ZEROS.subarray(0, lengthBytes));
      position += lengthBytes;
    }
  };
  try {
    for await (const { offset, bytes } of chunks) {
      await zerosUntil(offset);
      await send(bytes);
      position += bytes.length;
    }
    await zerosUntil(sizeBytes);
    await flushed(stream);
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error instanceof LazydiskError ? error : ioError('the output', error);
  } finally {
    cleanup();
  }
}

class ReaderGone extends Error {}

/** `drain`, or the end of the stream, whichever comes first. */
async function drained(stream: Writable): Promise<void> {
  const stop = new AbortController();
  try {
    const ended = once(stream, 'close', { signal: stop.signal }).then(() => {
      throw new ReaderGone();
    });
    await Promise.race([once(stream, 'drain', { signal: stop.signal }), ended]);
  } finally {
    stop.abort();
  }
}

/** All bytes have left. The stream stays open: it may be standard output. */
function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(Buffer.alloc(0), (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

function isGone(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return (
    error instanceof ReaderGone ||
    code === 'EPIPE' ||
    code === 'ERR_STREAM_PREMATURE_CLOSE' ||
    code === 'ERR_STREAM_DESTROYED'
  );
}

/** An existing target is replaced when it is empty or `force`. EXISTS, USAGE. */
async function assertFree(path: string, force: boolean): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw ioError(path, error);
  });
  if (found === undefined) return;
  if (!found.isFile()) {
    throw new LazydiskError('USAGE', `${path} is not a regular file; name a new file, or export to \`-\` and pipe it.`);
  }
  if (found.size > 0 && !force) {
    throw new LazydiskError('EXISTS', `${path} exists already and is not empty; name another file or remove it first.`);
  }
}

function ioError(path: string, error: unknown): LazydiskError {
  const code = errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT' ? 'NO_SPACE' : 'IO';
  return new LazydiskError(code, `${path} can't be written: ${messageOf(error)}.`, { cause: error });
}

class Progress {
  downloadedBytes = 0;

  constructor(
    private readonly totalBytes: Bytes,
    private readonly report: ExportOptions['onProgress'],
  ) {}

  advance(processedBytes: Bytes, downloadedBytes: Bytes): void {
    this.downloadedBytes += downloadedBytes;
    this.report?.({
      processedBytes: Math.min(processedBytes, this.totalBytes),
      totalBytes: this.totalBytes,
      downloadedBytes: this.downloadedBytes,
    });
  }
}
