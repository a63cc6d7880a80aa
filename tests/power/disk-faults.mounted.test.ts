/** A local disk that fails or is full under a state directory, by errors that the file system itself gives. Needs root and /dev/fuse. */
import { expect, test } from '@jest/globals';

import { MemoryStore } from '../../lib/store/memory-store.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { CHUNK, codeOf, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { PowerDisk } from './power-disk.js';

cleanUpAfter('each');

const BLOCK = 4096;

async function worldOn(disk: PowerDisk): Promise<ImageWorld> {
  const world = await ImageWorld.open(await disk.mount(), { store: new FaultyStore(new MemoryStore()) });
  await withImage(world, 1);
  return world;
}

// S26
test('a layer without room refuses the write, keeps what was written, and goes on when there is room', async () => {
  const disk = PowerDisk.start();
  const world = await worldOn(disk);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  await disk.inject({ operation: 'write', name: '\\.data$', errno: 'ENOSPC', times: 1000 });
  expect(await codeOf(head.write(BLOCK, Buffer.alloc(BLOCK, 3)))).toBe('NO_SPACE');
  expect([...(await head.read(0, 1)), ...(await head.read(BLOCK, 1))]).toEqual([2, 1]);
  await disk.inject();
  await head.write(BLOCK, Buffer.alloc(BLOCK, 4));
  await head.fsync();
  expect([...(await head.read(0, 1)), ...(await head.read(BLOCK, 1))]).toEqual([2, 4]);
  await world.close();
});

// S21
test('a sync that the disk fails is an error until the head is opened anew, and is not taken for done', async () => {
  const disk = PowerDisk.start();
  const world = await worldOn(disk);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  await disk.inject({ operation: 'fsync', name: '\\.data$', errno: 'EIO', times: 1 });
  expect(await codeOf(head.fsync())).toBe('IO');
  expect(await codeOf(head.fsync())).toBe('IO');
  expect(await codeOf(head.write(0, Buffer.alloc(BLOCK, 3)))).toBe('IO');
  shut(head);
  expect(await codeOf(head.read(0, 1))).toBe('IO');
  head.opened(); // for reading
  expect([...(await head.read(0, 1))]).toEqual([2]);
  head.closed();
  const again = await world.openHead('disk');
  await again.fsync();
  expect([...(await again.read(0, 1))]).toEqual([2]);
  await world.close();
});

// S21
test('a sync that the disk fails is an error for the same descriptors under the next daemon, too', async () => {
  const disk = PowerDisk.start();
  const world = await worldOn(disk);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  await disk.inject({ operation: 'fsync', name: '\\.data$', errno: 'EIO', times: 1 });
  expect(await codeOf(head.fsync())).toBe('IO');
  await world.crash();
  const image = (await world.catalogue.find('disk'))!;
  const later = (await image.head())!;
  await later.openForWriting(undefined, 'earlier');
  later.opened('earlier');
  expect(await codeOf(later.fsync())).toBe('IO');
  // What can still be read is saved by a commit, as before.
  expect(await image.commit({})).toMatchObject({ number: 2 });
  shut(later);
  const again = await world.openHead('disk');
  await again.fsync();
  expect([...(await again.read(0, 1))]).toEqual([2]);
  await world.close();
});

test('a commit whose freeze the disk has no room for changes nothing, and the next one takes everything', async () => {
  const disk = PowerDisk.start();
  const world = await worldOn(disk);
  const head = await world.openHead('disk');
  await head.write(CHUNK, Buffer.alloc(BLOCK, 2));
  const image = (await world.catalogue.find('disk'))!;
  await disk.inject({ operation: 'create', name: 'head\\.json\\.new$', errno: 'ENOSPC', times: 1 });
  expect(await codeOf(image.commit({}))).not.toBe('undefined');
  expect(await image.snapshots()).toEqual([1]);
  expect(await image.status()).toMatchObject({ dirtyBytes: BLOCK, layers: 1 });
  expect(await image.commit({})).toMatchObject({ number: 2, changed: true });
  expect([...(await head.read(CHUNK, 1))]).toEqual([2]);
  await world.close();
});

// S19, S33
test('a revert of which the disk does not say whether it is kept is none: what is written afterwards survives', async () => {
  const disk = PowerDisk.start();
  const world = await worldOn(disk);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  shut(head);
  const image = (await world.catalogue.find('disk'))!;
  await disk.inject({ operation: 'fsyncdir', name: '^[0-9a-f]{32}$', errno: 'EIO', times: 1 });
  expect(await codeOf(image.revert())).toContain('EIO');
  const again = await world.openHead('disk');
  expect((await again.read(0, 1))[0]).toBe(2);
  await again.write(BLOCK, Buffer.alloc(BLOCK, 3));
  await again.fsync();
  await world.crash();
  const after = await world.openHead('disk');
  expect([...(await after.read(0, 1)), ...(await after.read(BLOCK, 1))]).toEqual([2, 3]);
  await world.close();
});

// S50
test('a larger local clone for which there is no room is none, also for the next daemon', async () => {
  const disk = PowerDisk.start();
  const world = await worldOn(disk);
  const cloned = () => world.catalogue.clone('disk', 'larger', { local: true, sizeBytes: 64 * CHUNK });
  await disk.inject({ operation: 'create', name: '\\.data$', errno: 'ENOSPC', times: 1000 });
  expect(await codeOf(cloned())).toBe('NO_SPACE');
  await disk.inject();
  await world.crash();
  expect(await world.catalogue.names()).toEqual(['disk']);
  await cloned();
  expect((await world.openHead('larger')).sizeBytes()).toBe(64 * CHUNK);
  await world.close();
});
