import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { getPriority, release, setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  fallocate,
  mount,
  seekData,
  seekHole,
  shortenTurns,
  SystemCallError,
  tryLock,
  umount2,
} from '../../lib/util/syscalls.js';
import { expectSameDu } from '../helpers/contents.js';

const BLOCK = 4096;
const MIB = 1024 * 1024;

let folder: string;
let file: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-syscalls-'));
  file = openSync(join(folder, 'file'), 'w+');
});

afterEach(() => {
  closeSync(file);
  rmSync(folder, { recursive: true });
});

describe('tryLock', () => {
  it('gives the lock of a folder to one descriptor at a time, until that is closed', () => {
    const [one, two] = [openSync(folder, 'r'), openSync(folder, 'r')];
    expect([tryLock(one), tryLock(two), tryLock(one)]).toEqual([true, false, true]);
    closeSync(one);
    expect(tryLock(two)).toBe(true);
    closeSync(two);
    expect(() => tryLock(two)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });
});

describe('fallocate', () => {
  it('punches a hole that reads as zeros and keeps the size', () => {
    writeSync(file, Buffer.alloc(4 * MIB, 0xa5), 0, 4 * MIB, 0);
    const before = fstatSync(file).blocks;
    fallocate(file, 'punch-hole', MIB, MIB);
    const after = fstatSync(file);
    expect(after.size).toBe(4 * MIB);
    expectSameDu(after.blocks * 512, before * 512 - MIB);
    const bytes = Buffer.alloc(2, 1);
    readSync(file, bytes, 0, 2, 2 * MIB - 1);
    expect([...bytes]).toEqual([0, 0xa5]);
  });

  it('allocates without growing the file when the size is kept', () => {
    fallocate(file, 'allocate-keep-size', 0, MIB);
    expect(fstatSync(file).size).toBe(0);
    expect(fstatSync(file).blocks).toBeGreaterThanOrEqual(MIB / 512);
  });

  it('grows the file when it allocates beyond the end', () => {
    fallocate(file, 'allocate', 0, MIB);
    expect(fstatSync(file).size).toBe(MIB);
  });

  it('zeroes a range', () => {
    writeSync(file, Buffer.alloc(3 * BLOCK, 0xa5), 0, 3 * BLOCK, 0);
    fallocate(file, 'zero-range-keep-size', BLOCK, BLOCK);
    const bytes = Buffer.alloc(3 * BLOCK);
    readSync(file, bytes, 0, 3 * BLOCK, 0);
    expect(bytes.indexOf(0)).toBe(BLOCK);
    expect(bytes.lastIndexOf(0)).toBe(2 * BLOCK - 1);
  });

  it('takes offsets beyond 32 bits', () => {
    const offset = 5 * 1024 ** 3;
    fallocate(file, 'allocate', offset, BLOCK);
    expect(fstatSync(file).size).toBe(offset + BLOCK);
  });

  it('throws an error with the errno, like node:fs', () => {
    const readOnly = openSync(join(folder, 'file'), 'r');
    try {
      expect(() => {
        fallocate(readOnly, 'allocate', 0, BLOCK);
      }).toThrow(expect.objectContaining({ code: 'EBADF', errno: -9, syscall: 'fallocate' }));
    } finally {
      closeSync(readOnly);
    }
  });

  it('refuses an offset that a number can not hold', () => {
    expect(() => {
      fallocate(file, 'allocate', 2 ** 53, 1);
    }).toThrow(RangeError);
  });
});

describe('seekData and seekHole', () => {
  beforeEach(() => {
    writeSync(file, Buffer.alloc(BLOCK, 1), 0, BLOCK, 6 * 1024 ** 3);
    writeSync(file, Buffer.alloc(BLOCK, 1), 0, BLOCK, MIB);
  });

  it('find data and holes, beyond 32 bits too', () => {
    expect(seekData(file, 0)).toBe(MIB);
    expect(seekHole(file, 0)).toBe(0);
    expect(seekHole(file, MIB)).toBe(MIB + BLOCK);
    expect(seekData(file, MIB + BLOCK)).toBe(6 * 1024 ** 3);
    expect(seekHole(file, 6 * 1024 ** 3)).toBe(6 * 1024 ** 3 + BLOCK);
  });

  it('say that there is no data at the end of the file, and that the end is a hole', () => {
    const end = 6 * 1024 ** 3 + BLOCK;
    expect(seekData(file, end)).toBeUndefined();
    expect(seekHole(file, end)).toBe(end);
    expect(seekHole(file, end + 5)).toBe(end + 5);
  });

  it('throw EBADF for a descriptor that is not open', () => {
    expect(() => seekData(9999, 0)).toThrow(expect.objectContaining({ code: 'EBADF', syscall: 'lseek' }));
  });
});

describe('shortenTurns', () => {
  it('gives a thread the shortest slice there is, and leaves its priority', async () => {
    const sleeper = spawn('sleep', ['60']);
    await once(sleeper, 'spawn');
    const thread = sleeper.pid!;
    try {
      setPriority(thread, 5);
      shortenTurns(thread);
      expect(getPriority(thread)).toBe(5);
      const [major, minor] = release().split('.').map(Number) as [number, number];
      const slice = /se\.slice +: +(\d+)/.exec(readFileSync(`/proc/${String(thread)}/sched`, 'utf8'))?.[1];
      if (major > 6 || (major === 6 && minor >= 12)) expect(slice).toBe('100000');
    } finally {
      sleeper.kill();
      await once(sleeper, 'exit');
    }
    expect(() => {
      shortenTurns(thread);
    }).toThrow(/ESRCH/);
  });
});

describe('mount and umount2', () => {
  it('throw what the kernel answered', () => {
    const missing = join(folder, 'missing');
    expect(() => {
      umount2(missing, 0);
    }).toThrow(SystemCallError);
    expect(() => {
      mount('nothing', missing, 'tmpfs', 0, '');
    }).toThrow(/^E[A-Z]+: mount nothing on /);
  });
});
