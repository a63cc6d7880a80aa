/** Values of our file system in the shapes of the package: pure. */
import { constants } from 'node:fs';
import type { AttributeChanges, Attributes, FileKind, FileSystemStatistics, OpenFlags } from '../file-system.js';
import type { NativeStat, NativeStatfs } from './module.js';

const TYPE_BITS: Readonly<Record<FileKind, number>> = {
  file: constants.S_IFREG,
  directory: constants.S_IFDIR,
  symlink: constants.S_IFLNK,
};
const SECTOR_BYTES = 512;
const ACCESS_MODE = 3;
/** An id that chown(2) leaves as it is. */
const UNCHANGED_ID = 2 ** 32 - 1;
/** The package carries counts of statfs in 32 bits. */
const COUNT_LIMIT = 2 ** 32;

export function toStat(attributes: Attributes): NativeStat {
  return {
    mode: TYPE_BITS[attributes.kind] | attributes.mode,
    uid: attributes.uid,
    gid: attributes.gid,
    size: attributes.sizeBytes,
    nlink: attributes.links,
    ino: attributes.node,
    blksize: attributes.blockSizeBytes,
    blocks: Math.ceil(attributes.allocatedBytes / SECTOR_BYTES),
    atime: Math.trunc(attributes.atimeMs),
    mtime: Math.trunc(attributes.mtimeMs),
    ctime: Math.trunc(attributes.ctimeMs),
  };
}

/** Of a directory entry, whose kind and number alone are known (and matter). */
export function toEntryStat(kind: FileKind, node: number): NativeStat {
  const nothing = { mode: 0, uid: 0, gid: 0, size: 0, nlink: 1, blksize: 0, blocks: 0, atime: 0, mtime: 0, ctime: 0 };
  return { ...nothing, mode: TYPE_BITS[kind], ino: node };
}

/** The blocks grow until their number fits: 64 TiB are shown in blocks of 16 KiB or more. */
export function toStatfs(statistics: FileSystemStatistics): NativeStatfs {
  let blockSizeBytes = statistics.blockSizeBytes;
  while (statistics.totalBytes / blockSizeBytes >= COUNT_LIMIT) blockSizeBytes *= 2;
  const free = Math.floor(statistics.freeBytes / blockSizeBytes);
  const files = Math.min(statistics.files, COUNT_LIMIT - 1);
  const freeFiles = Math.min(statistics.freeFiles, COUNT_LIMIT - 1);
  return {
    bsize: blockSizeBytes,
    frsize: blockSizeBytes,
    blocks: Math.floor(statistics.totalBytes / blockSizeBytes),
    bfree: free,
    bavail: free,
    files,
    ffree: freeFiles,
    favail: freeFiles,
    namemax: statistics.nameMax,
  };
}

export function toOpenFlags(flags: number): OpenFlags {
  return { write: (flags & ACCESS_MODE) !== constants.O_RDONLY, truncate: (flags & constants.O_TRUNC) !== 0 };
}

export function toOwnerChanges(uid: number, gid: number): AttributeChanges {
  return { ...(uid !== UNCHANGED_ID && { uid }), ...(gid !== UNCHANGED_ID && { gid }) };
}
