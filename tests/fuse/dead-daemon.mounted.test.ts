/**
 * Mounts whose daemon is gone, and drivers whose workers die. Needs root, /dev/fuse, and the built `dist`.
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmdirSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exitOf, firstOutput, shell } from './child.js';
import { MemoryFileSystem } from './memory-file-system.js';

const built = new URL('../../dist/mount/fuse/', import.meta.url);
const { createKernelDriver } = (await import(
  new URL('kernel-driver.js', built).href
)) as typeof import('../../mount/fuse/kernel-driver.js');
const { FsError } = (await import(new URL('errno.js', built).href)) as typeof import('../../mount/fuse/errno.js');
const { mountDevice } = (await import(new URL('device.js', built).href)) as typeof import('../../mount/fuse/device.js');
const { clearStaleMount, isStaleMount } = (await import(
  new URL('mount-table.js', built).href
)) as typeof import('../../mount/fuse/mount-table.js');

let mountpoint: string;

beforeEach(() => {
  mountpoint = mkdtempSync(join(tmpdir(), 'lazydisk-fuse-'));
});

afterEach(async () => {
  await clearStaleMount(mountpoint);
  rmdirSync(mountpoint);
});

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
const NEGOTIATED = {
  id: '0'.repeat(32),
  negotiated: { minor: 31, flags: 0, flags2: 0, maxDataBytes: 1048576, canResend: false, canPassThrough: false },
};
const options = () => ({ mountpoint, source: 'memory://test', allowOther: false, readOnly: false });

describe('a mount whose daemon was killed', () => {
  it('is known as such, refused as a mountpoint, and cleared', async () => {
    const daemon = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `
import { createKernelDriver } from ${JSON.stringify(new URL('kernel-driver.js', built).href)};
const log = { info() {}, warn() {}, error() {} };
const driver = createKernelDriver({ workers: 1, log });
await driver.start({}, ${JSON.stringify(options())});
process.stdout.write('serving');`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await firstOutput(daemon);
    daemon.kill('SIGKILL');
    await exitOf(daemon);
    await expect(stat(mountpoint)).rejects.toMatchObject({ code: 'ENOTCONN' });
    expect(await isStaleMount(mountpoint)).toBe(true);
    await expect(mountDevice(options())).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await clearStaleMount(mountpoint)).toBe(1);
    expect(await readdir(mountpoint)).toEqual([]);
  });
});

describe('a driver', () => {
  it('serves what somebody else mounted', async () => {
    const files = new MemoryFileSystem((code) => new FsError(code));
    files.add(1, 'file', 'file', 'text');
    const mounted = await mountDevice(options());
    const driver = createKernelDriver({ workers: 2, log: silent });
    await driver.serve(mounted, files);
    expect(await shell('cat "$1"/file', mountpoint)).toBe('text');
    await driver.unmount();
    expect(await driver.ended).toEqual({ kind: 'unmounted' });
  });

  it('says that it failed when a worker dies', async () => {
    const driver = createKernelDriver({ workers: 2, log: silent });
    // Reads of 0 bytes are nothing that the kernel's device would give.
    const mounted = { ...NEGOTIATED, descriptor: openSync('/dev/null', 'r+'), mountpoint, device: '0:0' };
    await driver.serve(mounted, new MemoryFileSystem((code) => new FsError(code))).catch(() => undefined);
    const end = await driver.ended;
    expect(end.kind === 'failed' && end.error.message).toMatch(/without a whole header/);
  });

  it('says that it failed when the connection was aborted from outside (where the limits are seen), and leaves no mount', async () => {
    const files = new MemoryFileSystem((code) => new FsError(code));
    const mounted = await mountDevice(options());
    const driver = createKernelDriver({ workers: 2, log: silent });
    await driver.serve(mounted, files);
    const minor = mounted.device.split(':')[1]!;
    const control = mkdtempSync(join(tmpdir(), 'lazydisk-fusectl-'));
    const limits = await shell(
      'mount -t fusectl fusectl "$1"; trap \'umount "$1"; rmdir "$1"\' EXIT; ' +
        'cat "$1/$2/max_background" "$1/$2/congestion_threshold"; echo 1 > "$1/$2/abort"',
      control,
      minor,
    );
    expect(limits).toBe('4096\n3072\n');
    expect(await driver.ended).toMatchObject({ kind: 'failed', error: { message: expect.stringMatching(/aborted/) } });
    expect(await readdir(mountpoint)).toEqual([]);
  });
});
