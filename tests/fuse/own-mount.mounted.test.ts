/**
 * What a driver takes for its mount, after the kernel has given the number of its file system to another one. Needs root and the built
 * `dist`; the other file systems are real.
 */
import { expect, test } from '@jest/globals';
import { closeSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLog } from '../../lib/util/log.js';
import { isPastUse, umount2 } from '../../lib/util/syscalls.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { must, run } from '../helpers/processes.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';
import { MemoryFileSystem } from './memory-file-system.js';

cleanUpAfter('each');

const OPTIONS = { source: 'memory://test', allowOther: false, readOnly: false };

const built = new URL('../../dist/mount/fuse/', import.meta.url);
const { OwnMount } = (await import(
  new URL('own-mount.js', built).href
)) as typeof import('../../mount/fuse/own-mount.js');
const { createKernelDriver } = (await import(
  new URL('kernel-driver.js', built).href
)) as typeof import('../../mount/fuse/kernel-driver.js');
const { FsError } = (await import(new URL('errno.js', built).href)) as typeof import('../../mount/fuse/errno.js');
const { mountDevice } = (await import(new URL('device.js', built).href)) as typeof import('../../mount/fuse/device.js');

async function emptyMountpoint(): Promise<string> {
  const mountpoint = join(temporaryFolder('own-mount'), 'mnt');
  await mkdir(mountpoint);
  undoLater(async () => {
    if ((await mountpointsUnder(mountpoint)).length > 0) await run('umount', ['-l', mountpoint]);
  });
  return mountpoint;
}

const numberOf = async (mountpoint: string): Promise<string> =>
  (await must('findmnt', ['-n', '-r', '-o', 'MAJ:MIN', mountpoint])).trim();

/** Everything that a driver does about its mount once its connection is no more; true: something was taken away. */
async function doAllOf(device: string): Promise<boolean> {
  const own = new OwnMount(device, () => false, silentLog);
  await own.unmount();
  await own.abort();
  return own.takeAway();
}

// S102
test('a tmpfs that has got the number is left alone, also before the driver knows', async () => {
  const mountpoint = await emptyMountpoint();
  await must('mount', ['-t', 'tmpfs', 'tmpfs', mountpoint]);
  const device = await numberOf(mountpoint);
  await new OwnMount(device, () => true, silentLog).unmount();
  expect(await doAllOf(device)).toBe(false);
  expect(await mountpointsUnder(mountpoint)).toEqual([mountpoint]);
});

// S102
test('another mount of lazydisk that has got the number goes on', async () => {
  const mountpoint = await emptyMountpoint();
  const files = new MemoryFileSystem((code) => new FsError(code));
  files.add(1, 'file', 'file', 'text');
  const driver = createKernelDriver({ workers: 2, log: silentLog });
  await driver.serve(await mountDevice({ ...OPTIONS, mountpoint }), files);
  expect(await doAllOf(await numberOf(mountpoint))).toBe(false);
  expect(await readFile(join(mountpoint, 'file'), 'utf8')).toBe('text');
  await driver.unmount();
  expect(await driver.ended).toEqual({ kind: 'unmounted' });
});

test('a mount that is dead is taken away', async () => {
  const mountpoint = await emptyMountpoint();
  const { descriptor, device } = await mountDevice({ ...OPTIONS, mountpoint });
  closeSync(descriptor);
  expect(await doAllOf(device)).toBe(true);
  expect(await mountpointsUnder(mountpoint)).toEqual([]);
});

test('the kernel tells at once that a connection is no more', async () => {
  const mountpoint = await emptyMountpoint();
  const { descriptor } = await mountDevice({ ...OPTIONS, mountpoint });
  expect(isPastUse(descriptor)).toBe(false);
  umount2(mountpoint, 0);
  expect(isPastUse(descriptor)).toBe(true);
  closeSync(descriptor);
});
