/**
 * A tree of files becomes a disk: an ext4 file system without partitions, made by mke2fs in a file without a name.
 *
 * An archive is unpacked first, into a folder that only its owner may look into. Owners, modes, links and extended attributes are those
 * of the tree, so an archive wants root, or `fakeroot`, around lazydisk.
 */
import { fstatSync, ftruncateSync } from 'node:fs';
import { lstat, mkdir, open, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { BLOCK_SIZE, MAX_IMAGE_BYTES, type Bytes } from '../format/geometry.js';
import { errnoOf, LazydiskError, messageOf } from '../util/errors.js';
import { FileSource } from './file-source.js';
import type { ImageSource } from './image-source.js';
import type { Input } from './input.js';
import { startProgram } from './programs.js';
import { createTemporaryFolder, temporaryError, UnnamedFile } from './temporary.js';
import { feed } from './unpacking.js';

const MKE2FS = { command: 'mke2fs', package: 'e2fsprogs' };
const TAR = { command: 'tar', package: 'tar' };

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

/** The tree in an archive. As `openTree`, and DAMAGED, and what `input` throws. */
export async function openArchive(input: Input, name: string, sizeBytes: Bytes | undefined): Promise<ImageSource> {
  if (process.geteuid?.() !== 0) {
    throw new LazydiskError(
      'USAGE',
      `${name} is a tar archive, whose files belong to several users: import it as root, or by \`fakeroot lazydisk import …\`.`,
    );
  }
  const folder = createTemporaryFolder();
  try {
    const root = join(folder.path, 'root');
    await mkdir(root);
    const args = ['-x', '-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '-f', '-', '-C', root];
    const tar = await startProgram(TAR, args, `${name} is a tar archive`, ['pipe', 'ignore', 'pipe']);
    const fed = await feed(input, tar.process.stdin!).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const { succeeded, said } = await tar.ended;
    if (fed?.error instanceof LazydiskError) throw fed.error;
    if (!succeeded && /No space left|quota/i.test(said))
      throw temporaryError(Object.assign(new Error(said), { code: 'ENOSPC' }));
    if (!succeeded) throw new LazydiskError('DAMAGED', `${name} can't be unpacked by tar: ${said}.`);
    if (fed !== undefined) throw new LazydiskError('DAMAGED', `${name} can't be unpacked: ${messageOf(fed.error)}.`);
    return await openTree(root, name, sizeBytes);
  } finally {
    await folder.remove();
    await input.close();
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
  const walk = async (path: string): Promise<void> => {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const inner = join(path, entry.name);
      const { dev, ino, nlink, size, blocks } = await lstat(inner);
      const isKnown = nlink > 1 && !entry.isDirectory() && seen.has(`${dev}:${ino}`);
      seen.add(`${dev}:${ino}`);
      files++;
      if (!isKnown) bytes += Math.max(BLOCK_SIZE, Math.min(Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE, blocks * 512));
      if (entry.isDirectory()) await walk(inner);
    }
  };
  await walk(folder).catch((error: unknown) => {
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

/** Whether a folder is an image of containers rather than a tree of files. */
export async function isOciLayout(folder: string): Promise<boolean> {
  return lstat(join(folder, 'oci-layout')).then(
    (found) => found.isFile(),
    (error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return false;
      throw error;
    },
  );
}
