/**
 * Writes an image into a sparse file.
 *
 * It is written under a temporary name beside its target and renamed when it is whole and synced, so an interrupted export
 * leaves nothing that looks finished. Only blocks that are not zero are written: the file is as thin as it can be.
 */
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isZero, randomId } from '../format/checksums.js';
import { BLOCK_SIZE, type Bytes } from '../format/geometry.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import { writeAll } from '../util/write-all.js';
import type { Piece } from './export-stream.js';

/** Writes all of `bytes` at `position`. */
export type WriteAt = (bytes: Buffer, position: Bytes) => Promise<void>;

/** Chunks that are being written at once. */
const PARALLEL_WRITES = 4;

/** EXISTS, NOT_FOUND and USAGE (the target), IO, NO_SPACE, and what `chunks` throws. */
export async function writeFile(
  path: string,
  force: boolean,
  sizeBytes: Bytes,
  chunks: AsyncIterable<Piece>,
): Promise<true> {
  await replacing(path, force, async (temporary) => {
    const file = await open(temporary, 'wx', 0o666);
    try {
      await file.truncate(sizeBytes);
      await writeThin((bytes, position) => writeAll(file, bytes, position), chunks);
      await file.sync();
    } finally {
      await file.close();
    }
  });
  return true;
}

/** Lets `make` make a file under a temporary name, and gives it its own when it is whole. EXISTS, NOT_FOUND, USAGE, IO, NO_SPACE. */
export async function replacing(
  path: string,
  force: boolean,
  make: (temporary: string) => Promise<void>,
): Promise<void> {
  await assertFree(path, force);
  const temporary = join(dirname(path), `.${basename(path)}.${randomId().slice(0, 8)}.partial`);
  try {
    await make(temporary);
    await assertFree(path, force);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error instanceof LazydiskError ? error : ioError(path, error);
  }
}

/** Writes what is not zero, several pieces at once. No write is under way any more when it settles. */
export async function writeThin(write: WriteAt, chunks: AsyncIterable<Piece>): Promise<void> {
  const running: Promise<void>[] = [];
  try {
    for await (const piece of chunks) {
      const writing = writeBlocks(write, piece);
      writing.catch(() => undefined); // seen below
      running.push(writing);
      if (running.length >= PARALLEL_WRITES) await running.shift();
    }
  } finally {
    // The file may not be closed under a write.
    await Promise.allSettled(running);
  }
  await Promise.all(running);
}

/** Writes runs of blocks that are not zero. */
async function writeBlocks(write: WriteAt, { offset, bytes }: Piece): Promise<void> {
  let from = 0;
  for (let at = 0; at < bytes.length; at += BLOCK_SIZE) {
    if (!isZero(bytes.subarray(at, at + BLOCK_SIZE))) continue;
    if (at > from) await write(bytes.subarray(from, at), offset + from);
    from = at + BLOCK_SIZE;
  }
  if (bytes.length > from) await write(bytes.subarray(from), offset + from);
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
  if (errnoOf(error) === 'ENOENT') {
    return new LazydiskError('NOT_FOUND', `There is no folder ${dirname(path)} to write ${basename(path)} to.`);
  }
  const code = errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT' ? 'NO_SPACE' : 'IO';
  return new LazydiskError(code, `${path} can't be written: ${messageOf(error)}.`, { cause: error });
}
