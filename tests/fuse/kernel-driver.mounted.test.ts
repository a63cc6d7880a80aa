/**
 * The driver against the kernel, with a file system in memory. Needs root, /dev/fuse, and the built `dist` (worker threads
 * don't run from the sources).
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EndReason } from '../../mount/fuse/driver.js';
import type { KernelDriver } from '../../mount/fuse/kernel-driver.js';
import { run } from '../helpers/processes.js';
import { exitOf, firstOutput, python, shell, startPython } from './child.js';
import { MemoryFileSystem } from './memory-file-system.js';

const built = new URL('../../dist/mount/fuse/', import.meta.url);
const { createKernelDriver } = (await import(
  new URL('kernel-driver.js', built).href
)) as typeof import('../../mount/fuse/kernel-driver.js');
const { FsError } = (await import(new URL('errno.js', built).href)) as typeof import('../../mount/fuse/errno.js');
const { clearStaleMount, isStaleMount } = (await import(
  new URL('mount-table.js', built).href
)) as typeof import('../../mount/fuse/mount-table.js');

const MIB = 1024 * 1024;

let mountpoint: string;
let driver: KernelDriver;
let files: MemoryFileSystem;
let logged: string[];
let ended: EndReason | undefined;
const path = (name: string) => join(mountpoint, name);

beforeEach(async () => {
  mountpoint = mkdtempSync(join(tmpdir(), 'lazydisk-fuse-'));
  files = new MemoryFileSystem((code) => new FsError(code));
  logged = [];
  ended = undefined;
  const log = (message: string) => {
    logged.push(message);
  };
  driver = createKernelDriver({ workers: 2, log: { info: log, warn: log, error: log } });
  await driver.start(files, { mountpoint, source: 'memory://test', allowOther: false, readOnly: false });
  void driver.ended.then((reason) => {
    ended = reason;
  });
});

afterEach(async () => {
  if (ended === undefined) await driver.abort();
  await driver.ended;
  rmdirSync(mountpoint);
});

describe('a mount', () => {
  it('is listed with its type, its source, and without devices and set-user-id programs', async () => {
    const line = (await readFile('/proc/self/mounts', 'utf8')).split('\n').find((one) => one.includes(mountpoint));
    expect(line).toMatch(/^memory:\/\/test \S+ fuse\.lazydisk rw,nosuid,nodev,.*default_permissions/);
  });

  it('shows files, folders and links', async () => {
    files.add(1, 'file', 'file', 'some text\n');
    files.add(files.add(1, 'folder', 'directory'), 'inner', 'file');
    files.add(1, 'link', 'symlink', 'file');
    expect((await shell('cd "$1"; cat file; cat link; readlink link; ls -a folder', mountpoint)).split('\n')).toEqual([
      'some text',
      'some text',
      'file',
      '.',
      '..',
      'inner',
      '',
    ]);
  });

  it('lists a thousand entries, each once, with attributes', async () => {
    const folder = files.add(1, 'many', 'directory');
    const names = Array.from({ length: 1000 }, (_, index) => `entry-${String(index).padStart(4, '0')}`);
    for (const name of names) files.add(folder, name, 'file', 'abc');
    expect((await readdir(path('many'))).sort()).toEqual(names);
    const sizes = await shell('ls -l "$1" | awk \'NR > 1 { print $5 }\' | sort | uniq -c', path('many'));
    expect(sizes.trim().split(/\s+/)).toEqual(['1000', '3']);
    expect(
      await python('import os, sys; print(sum(e.stat().st_size for e in os.scandir(sys.argv[1])))', path('many')),
    ).toBe('3000');
  });

  it('answers ENOENT for a name that is not there, each time anew', async () => {
    await expect(stat(path('later'))).rejects.toMatchObject({ code: 'ENOENT' });
    files.add(1, 'later', 'file', 'x');
    expect((await stat(path('later'))).size).toBe(1);
  });

  it('makes, renames and removes', async () => {
    await shell(
      'cd "$1"; mkdir d; echo one > f; mv f g; test "$(cat g)" = one; rm g; rmdir d; test -z "$(ls)"',
      mountpoint,
    );
    await expect(shell('ln -s x "$1"', path('symlink'))).rejects.toThrow(/Operation not permitted/);
    await expect(shell('mkfifo "$1"', path('fifo'))).rejects.toThrow(/Operation not permitted/);
  });

  it('keeps owners, modes and times', async () => {
    files.add(1, 'file', 'file');
    await shell('chown 1000:1001 "$1"; chmod 640 "$1"; touch -d "2020-01-02 03:04:05.678 UTC" "$1"', path('file'));
    expect(files.attributesOf('file')).toMatchObject({ uid: 1000, gid: 1001, mode: 0o640, mtimeMs: 1577934245678 });
    const beforeMs = Date.now();
    await shell('touch "$1"', path('file'));
    expect(files.attributesOf('file').mtimeMs).toBeGreaterThanOrEqual(beforeMs);
  });

  it('answers statfs', async () => {
    expect((await shell('stat -f -c "%S %b %f %a %c %d %l" "$1"', mountpoint)).trim()).toBe(
      `4096 ${String(25 * MIB)} ${String(10 * MIB)} ${String(10 * MIB)} 12 7 255`,
    );
  });

  it('has no extended attributes and no ioctls', async () => {
    files.add(1, 'file', 'file');
    const tried = await python(
      `
import errno, fcntl, os, sys
for call in (lambda: os.getxattr(sys.argv[1], "user.x"), lambda: os.setxattr(sys.argv[1], "user.x", b"1"),
             lambda: fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x1234, b"12345678")):
    try: call()
    except OSError as e: print(errno.errorcode[e.errno])`,
      path('file'),
    );
    expect(tried.split('\n')).toEqual(['ENOTSUP', 'ENOTSUP', 'ENOTTY']);
  });
});

describe('data', () => {
  it('is read and written in requests of up to 1 MiB', async () => {
    files.add(1, 'file', 'file');
    const file = await open(path('file'), 'r+');
    const bytes = Buffer.alloc(
      3 * MIB + 17,
      Uint8Array.from({ length: 251 }, (_, index) => index),
    );
    await file.write(bytes, 0, bytes.length, 5);
    const back = Buffer.alloc(bytes.length);
    await file.read(back, 0, back.length, 5);
    await file.close();
    expect(back.equals(bytes)).toBe(true);
    expect(files.bytesOf('file').subarray(5).equals(bytes)).toBe(true);
  });

  it('is read and written with O_DIRECT in whole megabytes', async () => {
    files.add(1, 'file', 'file');
    await shell(
      'head -c 4M /dev/urandom > "$1.src"; dd if="$1.src" of="$2" bs=1M oflag=direct conv=notrunc 2> "$1.log"; ' +
        'dd if="$2" of="$1.copy" bs=1M iflag=direct 2>> "$1.log"; cmp "$1.src" "$1.copy"; rm "$1".*',
      `${mountpoint}-direct`,
      path('file'),
    );
    expect(files.calls.filter((call) => call === 'write')).toHaveLength(4);
    expect(files.calls.filter((call) => call === 'read').length).toBeLessThanOrEqual(5);
  });

  it('is read and written through mapped pages', async () => {
    files.add(1, 'file', 'file', Buffer.alloc(64 * 1024, 'a'));
    const seen = await python(
      `
import mmap, os, sys
f = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(f, 0)
print(m[5000:5004].decode())
m[8192:8195] = b"xyz"
m.flush()
m.close()`,
      path('file'),
    );
    expect(seen).toBe('aaaa');
    expect(files.bytesOf('file').toString('utf8', 8190, 8197)).toBe('aaxyzaa');
  });

  it('is discarded, zeroed and allocated', async () => {
    files.add(1, 'file', 'file', Buffer.alloc(64 * 1024, 'a'));
    await shell(
      'fallocate -p -o 4096 -l 8192 "$1"; fallocate -z -o 32768 -l 4096 "$1"; fallocate -o 0 -l 131072 "$1"',
      path('file'),
    );
    expect(files.calls.filter((call) => call.startsWith('allocate'))).toEqual([
      'allocate punch-hole',
      'allocate zero-range',
      'allocate allocate',
    ]);
    expect((await stat(path('file'))).size).toBe(131072);
    await expect(shell('fallocate -c -o 0 -l 4096 "$1"', path('file'))).rejects.toThrow(/not supported/);
  });

  it('is found by SEEK_DATA and SEEK_HOLE', async () => {
    const bytes = Buffer.alloc(64 * 1024);
    bytes.fill('a', 8192, 16384);
    files.add(1, 'file', 'file', bytes);
    const found = await python(
      `
import errno, os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
print(os.lseek(f, 0, os.SEEK_DATA), os.lseek(f, 0, os.SEEK_HOLE), os.lseek(f, 9000, os.SEEK_HOLE), os.lseek(f, 9000, os.SEEK_DATA))
try: os.lseek(f, 16384, os.SEEK_DATA)
except OSError as e: print(errno.errorcode[e.errno])`,
      path('file'),
    );
    expect(found.split('\n')).toEqual(['8192 0 16384 9000', 'ENXIO']);
  });

  it('is truncated by a request of its own, not by the open', async () => {
    files.add(1, 'file', 'file', 'old content');
    await shell('echo new > "$1"', path('file'));
    expect(files.bytesOf('file').toString()).toBe('new\n');
    expect(files.calls).toContain('setAttributes');
    expect(files.calls).not.toContain('open truncate');
  });

  it('fails with the errno that the file system gave, and EIO for a defect, which is logged', async () => {
    files.add(1, 'full', 'file');
    files.add(1, 'broken', 'file', 'x');
    await expect(shell('echo x | dd of="$1"', path('full'))).rejects.toThrow(/No space left/);
    await expect(shell('cat "$1"', path('broken'))).rejects.toThrow(/Input\/output error/);
    expect(logged.some((message) => message.includes('READ failed with EIO: a defect'))).toBe(true);
  });

  it('is not reported as durable when that failed', async () => {
    files.add(1, 'broken', 'file', 'x');
    const sync = 'import os, sys; os.fsync(os.open(sys.argv[1], os.O_RDWR))';
    await expect(python(sync, path('broken'))).rejects.toThrow(/Input\/output error/);
    await expect(python(sync, path('broken'))).rejects.toThrow(/Input\/output error/);
    expect(files.calls.filter((call) => call === 'fsync')).toHaveLength(2);
  });
});

describe('a caller that waits', () => {
  it('is released with EINTR when it is killed', async () => {
    const waiting = files.waiting();
    const child = startPython('import os, sys; os.stat(sys.argv[1])', path('slow-lookup'));
    await waiting;
    child.kill('SIGKILL');
    expect(await exitOf(child)).toEqual({ code: null, signal: 'SIGKILL' });
    expect(files.calls).toContain('released');
  });

  it('is killed also when another signal came before, which alone changes nothing', async () => {
    const waiting = files.waiting();
    const child = startPython(
      'import os, signal, sys; signal.signal(10, lambda *_: None); os.stat(sys.argv[1])',
      path('slow-lookup'),
    );
    await waiting;
    child.kill('SIGUSR1');
    // What comes after the INTERRUPT is answered after it.
    for (let round = 0; round < 5; round++) await stat(path(`missing-${String(round)}`)).catch(() => undefined);
    expect(files.calls).not.toContain('released');
    child.kill('SIGKILL');
    await exitOf(child);
    expect(files.calls).toContain('released');
  });

  it('is killed although it waits in direct I/O, of which the kernel sends no INTERRUPT', async () => {
    files.add(1, 'slow', 'file', Buffer.alloc(4096));
    const waiting = files.waiting();
    const child = startPython(
      'import mmap, os, sys; os.preadv(os.open(sys.argv[1], os.O_DIRECT), [mmap.mmap(-1, 4096)], 0)',
      path('slow'),
    );
    await waiting;
    expect(driver.statistics().waitingReads).toBe(1);
    child.kill('SIGKILL');
    expect(await exitOf(child)).toEqual({ code: null, signal: 'SIGKILL' });
    expect(files.calls).toContain('released');
    expect(driver.statistics().waitingReads).toBe(0);
  });

  it('is released by any signal on a control file', async () => {
    files.add(1, 'control', 'file', 'x');
    const waiting = files.waiting();
    // Python tries again after EINTR by itself, unless the handler of the signal throws.
    const child = startPython(
      `
import os, signal, sys
def stop(*_): raise InterruptedError()
signal.signal(signal.SIGUSR1, stop)
f = os.open(sys.argv[1], os.O_RDONLY)
print("open", flush=True)
try: os.read(f, 1)
except InterruptedError: pass`,
      path('control'),
    );
    await firstOutput(child);
    await waiting;
    child.kill('SIGUSR1');
    expect(await exitOf(child)).toEqual({ code: 0, signal: null });
    expect(files.calls).toContain('released');
  });
});

describe('the end', () => {
  it('comes with unmount', async () => {
    await driver.unmount();
    expect(await driver.ended).toEqual({ kind: 'unmounted' });
    await driver.unmount();
  });

  it('comes with umount(8)', async () => {
    await shell('umount "$1"', mountpoint);
    expect(await driver.ended).toEqual({ kind: 'unmounted' });
  });

  it('does not come while somebody works in the mount, and says who', async () => {
    files.add(1, 'file', 'file', 'x');
    const child = startPython(
      'import os, sys; f = os.open(sys.argv[1], 0); print("open", flush=True); sys.stdin.read()',
      path('file'),
    );
    await firstOutput(child);
    await expect(driver.unmount()).rejects.toMatchObject({
      code: 'BUSY',
      message: `${mountpoint} is in use: process ${String(child.pid)} (python3) has ${path('file')} open.`,
    });
    expect(ended).toBeUndefined();
    child.stdin?.end();
    await exitOf(child);
    await driver.unmount();
    expect(await driver.ended).toEqual({ kind: 'unmounted' });
  });

  it('comes with abort, and those who wait get an error', async () => {
    files.add(1, 'slow', 'file', 'x');
    const waiting = files.waiting();
    const child = startPython(
      'try:\n  import os, sys; os.read(os.open(sys.argv[1], os.O_RDONLY), 1)\nexcept OSError as e: print(e.errno)',
      path('slow'),
    );
    await waiting;
    const output = firstOutput(child);
    await driver.abort();
    expect(await driver.ended).toEqual({ kind: 'unmounted' });
    expect([constants.errno.ECONNABORTED, constants.errno.ENOTCONN]).toContain(Number(await output));
    await exitOf(child);
  });

  it('writes mapped pages back, although the main thread is the one that unmounts', async () => {
    files.add(1, 'file', 'file', Buffer.alloc(8192, 'a'));
    await python(
      `
import mmap, os, sys
m = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 0)
m[0:3] = b"xyz"
os._exit(0)`,
      path('file'),
    );
    await driver.unmount();
    await driver.ended;
    expect(files.bytesOf('file').toString('utf8', 0, 4)).toBe('xyza');
  });
});

describe('mounting', () => {
  const start = (where: string) =>
    createKernelDriver({ workers: 1, log: { info: () => 0, warn: () => 0, error: () => 0 } }).start(files, {
      mountpoint: where,
      source: 'x',
      allowOther: false,
      readOnly: false,
    });

  it('leaves no thread behind when it was prepared and given up', async () => {
    // A thread that waits would keep the program from ending.
    const program = `
      const { createKernelDriver } = await import(${JSON.stringify(new URL('kernel-driver.js', built).href)});
      const log = { info() {}, warn() {}, error() {} };
      const driver = createKernelDriver({ workers: 2, log });
      driver.warmUp();
      process.stdout.write(String(driver.statistics().threads));
      driver.discard();
    `;
    const given = await run(process.execPath, ['--input-type=module', '-e', program]);
    expect(given).toMatchObject({ status: 0, stdout: '1' });
  });

  it('is refused where it can not be, in a sentence', async () => {
    const other = mkdtempSync(join(tmpdir(), 'lazydisk-fuse-'));
    await shell('echo x > "$1"/file', other);
    await expect(start(mountpoint)).rejects.toMatchObject({
      code: 'EXISTS',
      message: expect.stringMatching(/is a mount/),
    });
    await expect(start(other)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringMatching(/has files/) });
    await expect(start(join(other, 'file'))).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/not a folder/),
    });
    await expect(start(join(other, 'none'))).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await shell('rm -r "$1"', other);
  });

  it('does not take a live mount for a dead one', async () => {
    expect(await isStaleMount(mountpoint)).toBe(false);
    expect(await clearStaleMount(mountpoint)).toBe(0);
    expect((await stat(mountpoint)).isDirectory()).toBe(true);
  });
});
