/** A tree over the fake catalogue, and the ways in which its tests talk to it. */
import { noFlatFiles } from '../../lib/image/flat-files.js';
import { tmpdir } from 'node:os';
import type { Catalogue } from '../../lib/image/api.js';
import { silentLog } from '../../lib/util/log.js';
import { FsError, answerTo } from '../../mount/fuse/errno.js';
import { ROOT_NODE, type Attributes, type Caller, type FileSystem } from '../../mount/fuse/file-system.js';
import { createTree, type Tree } from '../../mount/tree/tree.js';
import { FakeCatalogue } from './fake-catalogue.js';
import { MemoryDatabase } from './memory-database.js';

export const UID = 1000;
export const GID = 2000;

/** A caller that nobody interrupts, or the one with this signal. */
export function caller(signal: AbortSignal = new AbortController().signal): Caller {
  return { uid: UID, gid: GID, pid: 42, signal };
}

export interface TreeFixture<Images extends Catalogue = FakeCatalogue> {
  readonly catalogue: Images;
  readonly database: MemoryDatabase;
  readonly tree: Tree;
  readonly fileSystem: FileSystem;
  /** Attributes of a path like `vm/disk.raw`, looked up from the root. */
  stat(path: string): Promise<Attributes>;
  node(path: string): Promise<number>;
  /** What `echo TEXT > path` does: open, truncate, write, close. */
  echo(path: string, text: string): Promise<void>;
  /** The text of a file that is read past the page cache. */
  cat(path: string): Promise<string>;
}

export interface FixtureOptions {
  readonly catalogue?: FakeCatalogue;
  readonly database?: MemoryDatabase;
  readonly readOnly?: boolean;
  readonly umask?: number;
}

export function treeFixture(options: FixtureOptions = {}): Promise<TreeFixture> {
  return treeOver(options.catalogue ?? new FakeCatalogue(options.readOnly), options);
}

/** A tree over any catalogue. */
export async function treeOver<Images extends Catalogue>(
  catalogue: Images,
  options: Omit<FixtureOptions, 'catalogue'> = {},
): Promise<TreeFixture<Images>> {
  const readOnly = options.readOnly ?? false;
  const database = options.database ?? new MemoryDatabase();
  const tree = await createTree({
    catalogue,
    database,
    mirror: { statistics: () => mirrorStatistics },
    flats: noFlatFiles,
    driver: { statistics: () => driverStatistics },
    store: {
      statistics: () => ({ requests: 9, errors: 2, lastError: { message: 'slow down', timeMs: 5 }, lastAnswerMs: 6 }),
    },
    log: silentLog,
    options: {
      uid: UID,
      gid: GID,
      umask: options.umask ?? 0,
      slowReadMs: 0,
      identity: {
        repositoryId: '0'.repeat(32),
        repository: 'file:///images',
        mountpoint: '/mnt',
        stateDirectory: tmpdir(),
        driver: 'kernel',
        daemonPid: 7,
        readOnly,
      },
    },
  });
  const { fileSystem } = tree;
  const stat = async (path: string): Promise<Attributes> => {
    let attributes = await fileSystem.getAttributes(ROOT_NODE, caller());
    for (const name of path.split('/').filter((part) => part !== '')) {
      attributes = await fileSystem.lookup(attributes.node, name, caller());
    }
    return attributes;
  };
  const node = async (path: string): Promise<number> => (await stat(path)).node;
  const echo = async (path: string, text: string): Promise<void> => {
    const file = await node(path);
    const { handle } = await fileSystem.open(file, { write: true, truncate: false }, caller());
    try {
      await fileSystem.setAttributes(file, { sizeBytes: 0 }, caller());
      await fileSystem.write(file, handle, 0, Buffer.from(text), caller());
      await fileSystem.flush(file, handle, caller());
    } finally {
      await fileSystem.release(file, handle);
    }
  };
  const cat = async (path: string): Promise<string> => {
    const file = await node(path);
    const { handle } = await fileSystem.open(file, { write: false, truncate: false }, caller());
    try {
      return await readAll(fileSystem, file, handle);
    } finally {
      await fileSystem.release(file, handle);
    }
  };
  return { catalogue, database, tree, fileSystem, stat, node, echo, cat };
}

/** Reads from `offset` until there is no more, in small pieces. */
export async function readAll(fileSystem: FileSystem, file: number, handle: number, offset = 0): Promise<string> {
  const pieces: Uint8Array[] = [];
  for (let at = offset; ;) {
    const piece = await fileSystem.read(file, handle, at, 100, caller());
    if (piece.length === 0) return Buffer.concat(pieces).toString('utf8');
    pieces.push(piece);
    at += piece.length;
  }
}

/** The name of the errno that a driver would answer, or `ok`. */
export async function errnoOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    return error instanceof FsError ? error.code : answerTo(error).name;
  }
}

export const mirrorStatistics = {
  localBytes: 1000,
  quotaBytes: null,
  fetchedBytes: 500,
  fetchedChunks: 3,
  fetchRequests: 2,
  fetchedBytesByPriority: { demand: 300, readahead: 100, prefetch: 60, eager: 0, fill: 40 },
  hedges: 2,
  hedgesWon: 1,
  evictedChunks: 1,
  waitingFetches: 4,
  damagedChunks: 0,
};

export const driverStatistics = {
  workers: 4,
  threads: 4,
  localReads: 100,
  localReadBytes: 4096,
  localWrites: 5,
  localWriteBytes: 512,
  forwarded: 6,
  waitingReads: 8,
};
