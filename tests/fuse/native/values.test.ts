import { describe, expect, it } from '@jest/globals';
import { constants } from 'node:fs';
import { OpenFiles } from '../../../mount/fuse/native/open-files.js';
import { toOpenFlags, toOwnerChanges, toStat, toStatfs } from '../../../mount/fuse/native/values.js';

const TIB = 2 ** 40;

describe('values for libfuse 2', () => {
  it('have the kind in the mode, sectors of 512 bytes, and whole milliseconds', () => {
    const stat = toStat({
      node: 23,
      kind: 'file',
      mode: 0o640,
      uid: 1,
      gid: 2,
      links: 1,
      sizeBytes: 5 * TIB,
      allocatedBytes: 4097,
      atimeMs: 1.5,
      mtimeMs: 2.5,
      ctimeMs: 3.5,
      blockSizeBytes: 4096,
    });
    expect(stat).toEqual({
      mode: constants.S_IFREG | 0o640,
      uid: 1,
      gid: 2,
      size: 5 * TIB,
      nlink: 1,
      ino: 23,
      blksize: 4096,
      blocks: 9,
      atime: 1,
      mtime: 2,
      ctime: 3,
    });
  });

  it('count a large file system in blocks that fit 32 bits, without a change of its size', () => {
    const shown = toStatfs({
      blockSizeBytes: 4096,
      totalBytes: 64 * TIB,
      freeBytes: 16 * TIB,
      files: 2 ** 40,
      freeFiles: 3,
      nameMax: 255,
    });
    expect(shown.blocks).toBeLessThan(2 ** 32);
    expect([shown.blocks * shown.frsize, shown.bfree * shown.frsize]).toEqual([64 * TIB, 16 * TIB]);
    expect([shown.files, shown.ffree]).toEqual([2 ** 32 - 1, 3]);
  });

  it('tell reading from writing, and an owner that is to be left alone', () => {
    expect(toOpenFlags(constants.O_RDONLY | constants.O_DIRECT)).toEqual({ write: false, truncate: false });
    expect(toOpenFlags(constants.O_RDWR | constants.O_TRUNC)).toEqual({ write: true, truncate: true });
    expect(toOwnerChanges(2 ** 32 - 1, 5)).toEqual({ gid: 5 });
    expect(toOwnerChanges(0, 2 ** 32 - 1)).toEqual({ uid: 0 });
  });
});

describe('open files', () => {
  const opened = { handle: 2 ** 50, directIo: true, keepCache: false, noFlush: false };

  it('have small numbers that are not 0, whatever their handles', () => {
    const files = new OpenFiles();
    const number = files.add(19, opened);
    expect(number).toBe(1);
    expect(files.get(number)).toEqual({ node: 19, handle: 2 ** 50, isControl: true });
    expect(files.add(19, opened)).toBe(2);
  });

  it('are EBADF once they are closed', () => {
    const files = new OpenFiles();
    const number = files.add(19, opened);
    files.remove(number);
    expect(() => files.get(number)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });
});
