/**
 * Decides how something becomes the chunks of an image.
 *
 * A file that can be read by position is looked at: raw, it is read as it is; a container, QEMU serves it. Everything else is bytes that
 * come once (`open-input.ts`).
 */
import { constants, type BigIntStats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Bytes } from '../format/geometry.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import { ContainerSource, type Ground } from './container-source.js';
import { FileSource, sizeOf } from './file-source.js';
import { openTree } from './file-system-source.js';
import { openHttp } from './http-input.js';
import { changedError, type ImageSource } from './image-source.js';
import { hashed, streamInput, taken, type Checksum } from './input.js';
import { openLayeredFolder } from './layered-folder.js';
import { assertIsDisk, assertNoChoice, type OpenOptions } from './open-options.js';
import { openInput } from './open-input.js';
import { readContainer } from './qemu.js';
import { recogniseEnd, recogniseStart, SIGNATURE_BYTES, type Recognised } from './signatures.js';

/** What is read of a file at once where it is read in order. */
const PIECE_BYTES = 1024 * 1024;

/** Where a disk is. */
export type DiskLocation =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'stream'; readonly stream: Readable; readonly name?: string }
  /** http or https. */
  | { readonly kind: 'url'; readonly url: string };

/**
 * USAGE, NOT_FOUND (the file), UNSUPPORTED (a program is missing), DAMAGED, BUSY, TOO_LARGE, IO, NO_SPACE, CONFLICT, ABORTED; of a URL
 * also UNREACHABLE and REFUSED.
 */
export async function openSource(location: DiskLocation, options: OpenOptions = {}): Promise<ImageSource> {
  if (location.kind === 'file') return openFile(location.path, options);
  if (location.kind === 'url') {
    const { signal, checksum } = options;
    const { input, sizeBytes, name } = await openHttp(location.url, { signal, isChecked: checksum !== undefined });
    return openInput(input, name, sizeBytes, options);
  }
  const name = location.name ?? 'standard input';
  return openInput(streamInput(location.stream, name), name, null, options);
}

async function openFile(path: string, options: OpenOptions): Promise<ImageSource> {
  const file = await open(path, constants.O_RDONLY).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    const stat = await file.stat({ bigint: true });
    if (stat.isDirectory()) {
      await file.close();
      return await openFolder(path, options);
    }
    if (stat.isFIFO() || stat.isCharacterDevice() || stat.isSocket()) {
      return await openInput(streamInput(file.createReadStream(), path), path, null, options);
    }
    return await openPositioned(file, stat, path, options);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

async function openFolder(path: string, options: OpenOptions): Promise<ImageSource> {
  const { format, checksum, fileSystemBytes } = options;
  if (format === 'raw') throw new LazydiskError('USAGE', `${path} is a folder; a raw disk image was expected.`);
  if (checksum !== undefined) throw new LazydiskError('USAGE', `${path} is a folder, and only a file has a checksum.`);
  const image = await openLayeredFolder(path, path, options);
  if (image !== undefined) return image;
  assertNoChoice(options, path);
  return openTree(path, path, fileSystemBytes);
}

async function openPositioned(
  file: FileHandle,
  stat: BigIntStats,
  path: string,
  options: OpenOptions,
): Promise<ImageSource> {
  const sizeBytes = await sizeOf(stat);
  const modifiedNs = stat.isBlockDevice() ? null : stat.mtimeNs;
  const found = options.format === 'raw' ? ({ kind: 'raw' } as const) : await recognise(file, sizeBytes);
  if (found.kind === 'packed' || found.kind === 'tar') {
    const stream = file.createReadStream({ start: 0, highWaterMark: PIECE_BYTES });
    return openInput(streamInput(stream, path), path, sizeBytes, options);
  }
  assertIsDisk(options, path);
  // Before any of it is used; that it is changed later shows by its time.
  if (options.checksum !== undefined) await verify(file, path, sizeBytes, options.checksum, options);
  if (found.kind === 'raw') return new FileSource(file, path, sizeBytes, modifiedNs);
  const at = { path, isDevice: stat.isBlockDevice() };
  const disk = await readContainer({ name: path, at, driver: found.driver }, options.follow ?? false);
  return new ContainerSource(disk, path, groundOf(file, path, modifiedNs));
}

/** Reads a file to its end, for its checksum alone. DAMAGED. */
async function verify(
  file: FileHandle,
  path: string,
  sizeBytes: Bytes,
  checksum: Checksum,
  options: OpenOptions,
): Promise<void> {
  const stream = file.createReadStream({ start: 0, highWaterMark: PIECE_BYTES, autoClose: false });
  const bytes = hashed(taken(streamInput(stream, path), sizeBytes, options), path, checksum);
  for await (const piece of bytes) void piece;
}

function groundOf(file: FileHandle, path: string, modifiedNs: bigint | null): Ground {
  return {
    async assertUnchanged() {
      if (modifiedNs !== null && (await file.stat({ bigint: true })).mtimeNs !== modifiedNs) throw changedError(path);
    },
    close: () => file.close(),
  };
}

async function recognise(file: FileHandle, sizeBytes: Bytes): Promise<Recognised> {
  const start = Buffer.alloc(Math.min(SIGNATURE_BYTES, sizeBytes));
  await file.read(start, 0, start.length, 0);
  const found = recogniseStart(start);
  if (found.kind !== 'raw' || sizeBytes < SIGNATURE_BYTES) return found;
  const end = Buffer.alloc(SIGNATURE_BYTES);
  await file.read(end, 0, end.length, sizeBytes - SIGNATURE_BYTES);
  return recogniseEnd(end);
}

function unreadable(path: string, error: unknown): LazydiskError {
  const code = errnoOf(error) === 'ENOENT' ? 'NOT_FOUND' : 'USAGE';
  const reason = errnoOf(error) === 'ENOENT' ? 'does not exist' : `can't be opened: ${messageOf(error)}`;
  return new LazydiskError(code, `${path} ${reason}.`, { cause: error });
}
