/**
 * Writes an image into a sparse file.
 *
 * It is written under a temporary name beside its target and renamed when it is whole and synced, so an interrupted export
 * leaves nothing that looks finished. Only blocks that are not zero are written: the file is as thin as it can be.
 */
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isZero, randomId } from '../format/checksums.js';
import { BLOCK_SIZE, type Bytes } from '../format/geometry.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import type { Piece } from './export-stream.js';

/** Chunks that are being written at once. */
const PARALLEL_WRITES = 4;

/** EXISTS and USAGE (the target), IO, NO_SPACE, and what `chunks` throws. */
export async function writeFile(
  path: string,
  force: boolean,
  sizeBytes: Bytes,
  chunks: AsyncIterable<Piece>,
): Promise<true> {
  await assertFree(path, force);
  const temporary = join(dirname(path), `.${basename(path)}.${randomId().slice(0, 8)}.partial`);
  const file = await open(temporary, 'wx', 0o666).catch((error: unknown) => {
    throw ioError(path, error);
  });
  try {
    try {
      await file.truncate(sizeBytes);
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
