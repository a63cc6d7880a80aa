/**
 * A tree of files becomes a disk: an ext4 file system without partitions, made by mke2fs in a file without a name.
 * Owners, modes, links and extended attributes are those of the tree.
 */
import { fstatSync, ftruncateSync } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { BLOCK_SIZE, MAX_IMAGE_BYTES, type Bytes } from '../format/geometry.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import { below, bytePath, bytesOf, entriesOf, type BytePath } from './byte-paths.js';
import { FileSource } from './file-source.js';
import type { ImageSource } from './image-source.js';
import { startProgram } from './programs.js';
import { UnnamedFile } from './temporary.js';

const MKE2FS = { command: 'mke2fs', package: 'e2fsprogs' };

/** Beside its files an ext4 has a journal and tables; and whoever boots it wants to write. */
const LEAST_BYTES = 128 * 1024 * 1024;
/** What a file takes beside its content: its inode, its name. */
const FILE_BYTES = 512;
/** Sizes that were not asked for are whole multiples of this. */
const GRAIN_BYTES = 16 * 1024 * 1024;

/** The tree in a folder. `sizeBytes`: of the file system; undefined: what fits, and a quarter more. IO, NO_SPACE, UNSUPPORTED, USAGE. */
export async function openTree(folder: string, name: string, sizeBytes: Bytes | undefined): Promise<ImageSource> {
  const file = UnnamedFile.create();
  try {
    const size = sizeBytes ?? roomFor(await contentOf(folder, name));
    if (size > MAX_IMAGE_BYTES)
      throw new LazydiskError(
        'TOO_LARGE',
        `${name} needs a disk of ${size} bytes; an image has at most ${MAX_IMAGE_BYTES}.`,
      );
    ftruncateSync(file.descriptor, size);
    const blocks = String(Math.floor(size / BLOCK_SIZE));
    const args = ['-q', '-F', '-t', 'ext4', '-b', String(BLOCK_SIZE), '-d', resolve(folder), '/proc/self/fd/3', blocks];
    const stdio = ['ignore', 'ignore', 'pipe', file.descriptor] as const;
    const { succeeded, said } = await (
      await startProgram(MKE2FS, args, `${name} is a tree of files`, [...stdio])
    ).ended;
    if (!succeeded) throw treeError(name, size, said);
    // A second descriptor of the same file, which the source closes.
    const opened = await open(`/proc/self/fd/${file.descriptor}`, 'r');
    return new FileSource(opened, name, fstatSync(file.descriptor).size, null);
  } finally {
    file.close();
  }
}

interface Content {
  readonly bytes: Bytes;
  readonly files: number;
}

/** What the files below take. Several names of one file count once. */
async function contentOf(folder: string, name: string): Promise<Content> {
  const seen = new Set<string>();
  let bytes = 0;
  let files = 0;
  const walk = async (path: BytePath): Promise<void> => {
    for (const { name: entry, isFolder } of await entriesOf(path)) {
      const inner = below(path, entry);
      const { dev, ino, nlink, size, blocks } = await lstat(bytesOf(inner));
      const isKnown = nlink > 1 && !isFolder && seen.has(`${dev}:${ino}`);
      seen.add(`${dev}:${ino}`);
      files++;
      if (!isKnown) bytes += Math.max(BLOCK_SIZE, Math.min(Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE, blocks * 512));
      if (isFolder) await walk(inner);
    }
  };
  await walk(bytePath(folder)).catch((error: unknown) => {
    throw new LazydiskError('IO', `${name} can't be read: ${messageOf(error)}.`, { cause: error });
  });
  return { bytes, files };
}

function roomFor({ bytes, files }: Content): Bytes {
  const wanted = LEAST_BYTES + (bytes + files * FILE_BYTES) * 1.25;
  return Math.ceil(wanted / GRAIN_BYTES) * GRAIN_BYTES;
}

function treeError(name: string, sizeBytes: Bytes, said: string): LazydiskError {
  if (/allocate|No free space|No space left/i.test(said)) {
    return new LazydiskError(
      'USAGE',
      `${name} does not fit into a file system of ${sizeBytes} bytes; give a larger --size.`,
    );
  }
  return new LazydiskError('IO', `${name} can't become a file system: ${said}.`);
}
