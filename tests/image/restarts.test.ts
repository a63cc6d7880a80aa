/** What a kill, a full disk or a race at an awkward moment leaves behind: nothing that was acknowledged is lost by it. */
import { expect, jest, test } from '@jest/globals';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Head } from '../../lib/image/api.js';
import { Layer } from '../../lib/image/layer.js';
import type { Plane, PlaneFeed } from '../../lib/image/plane.js';
import { serveRead, serveWrite } from '../../lib/image/serve.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { descriptorsUnder } from '../helpers/descriptors.js';
import { CHUNK, codeOf, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const BLOCK = 4096;
const GIB = 2 ** 30;

/** Planes as workers would have them. */
class KeptPlanes implements PlaneFeed {
  readonly planes = new Map<number, Plane>();

  publish(plane: Plane): void {
    this.planes.set(plane.key, plane);
  }

  withdraw(key: number): void {
    this.planes.delete(key);
  }
}

async function byteAt(head: Head, offset: number): Promise<number | undefined> {
  return (await head.read(offset, 1))[0];
}

test('after a restart during a commit, workers may write everywhere on a disk that had grown before it', async () => {
  const feed = new KeptPlanes();
  const world = await ImageWorld.open(temporaryFolder('world'), { planes: feed });
  await (await world.catalogue.create('disk')).createHead();
  const head = await world.openHead('disk');
  await head.truncate(3 * GIB);
  world.onCommitStep = () => {
    throw new Error('killed');
  };
  await (await world.catalogue.find('disk'))!.commit({}).catch(() => undefined);
  world.onCommitStep = () => undefined;
  await world.crash();
  const again = await world.openHead('disk');
  await again.expose(1);
  const plane = feed.planes.get(1)!;
  expect(serveWrite(plane, Buffer.alloc(BLOCK, 7), 0, 2 * GIB, BLOCK)).toBe(BLOCK);
  const read = Buffer.alloc(BLOCK);
  expect(serveRead(plane, 2 * GIB, BLOCK, read, 0)).toBe(BLOCK);
  expect(read.every((byte) => byte === 7)).toBe(true);
  await world.close();
});

test('of two images that had one name, the changes of the later one are found again after a restart', async () => {
  const first = await ImageWorld.open(temporaryFolder('one'));
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (const name of names) {
    await withImage(first, 1, 4, name);
    await first.catalogue.unlock(name);
    await first.repository.deleteSnapshot(name, 1);
  }
  const second = await ImageWorld.open(temporaryFolder('two'), { store: first.store, stateId: 'b'.repeat(32) });
  for (const name of names) await withImage(second, 2, 4, name);
  await second.close();
  await first.reopen();
  for (const name of names) {
    const head = await first.openHead(name);
    expect(await byteAt(head, 0)).toBe(2);
    await head.write(0, Buffer.alloc(BLOCK, 3));
  }
  for (let restart = 0; restart < 2; restart++) {
    await first.crash();
    for (const name of names) {
      const head = await first.openHead(name);
      expect(await byteAt(head, 0)).toBe(3);
      expect(await byteAt(head, BLOCK)).toBe(2);
      shut(head);
    }
  }
  await first.close();
});

test('a kill while the lock is given up never leaves a host that writes without it', async () => {
  const first = await ImageWorld.open(temporaryFolder('one'));
  await withImage(first, 1);
  first.store.inject({ kind: 'fail-after' }, { operation: 'delete', key: /writer\.json/ });
  await first.catalogue.unlock('disk').catch(() => undefined);
  await first.crash();
  const second = await ImageWorld.open(temporaryFolder('two'), { store: first.store, stateId: 'b'.repeat(32) });
  await second.openHead('disk');
  expect(await codeOf(first.openHead('disk'))).toBe('LOCKED');
  await first.close();
  await second.close();
});

test('who opens a disk while its lock is given up takes it anew', async () => {
  const first = await ImageWorld.open(temporaryFolder('one'));
  await withImage(first, 1);
  const head = (await (await first.catalogue.find('disk'))!.head())!;
  first.store.inject({ kind: 'stall' }, { operation: 'delete', key: /writer\.json/ });
  const unlocked = first.catalogue.unlock('disk');
  await first.store.until(() => first.store.stalledCalls > 0);
  const opened = head.openForWriting();
  await new Promise((resolve) => setImmediate(resolve));
  first.store.releaseStalled();
  await unlocked;
  await opened;
  const second = await ImageWorld.open(temporaryFolder('two'), { store: first.store, stateId: 'b'.repeat(32) });
  expect(await codeOf(second.openHead('disk'))).toBe('LOCKED');
  await first.close();
  await second.close();
});

test('a full disk in an fsync makes the mirror give way, or refuses that fsync; the disk goes on', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  const store = jest.spyOn(Layer.prototype, 'storeDurably');
  try {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
    store.mockRejectedValueOnce(full);
    await head.fsync();
    store.mockRejectedValue(full);
    expect(await codeOf(head.fsync())).toBe('NO_SPACE');
  } finally {
    store.mockRestore();
  }
  expect(await byteAt(head, 0)).toBe(2);
  await head.fsync();
  await world.crash({ newBoot: true });
  expect(await byteAt(await world.openHead('disk'), 0)).toBe(2);
  await world.close();
});

test('what a commit has published does not vanish with the host and come back later', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(BLOCK, 9));
  world.onCommitStep = (step) => {
    if (step === 'published') throw new Error('killed');
  };
  await (await world.catalogue.find('disk'))!.commit({}).catch(() => undefined);
  world.onCommitStep = () => undefined;
  world.store.inject({ kind: 'fail-before' }, { times: Infinity });
  await world.crash({ newBoot: true });
  const again = await world.openHead('disk');
  expect(await byteAt(again, 0)).toBe(9);
  world.store.clearFaults();
  await (await world.catalogue.find('disk'))!.commit({});
  expect(await byteAt(again, 0)).toBe(9);
  await world.close();
});

test('a write that still waits for its chunk when the head is closed writes nowhere', async () => {
  const directory = temporaryFolder('two');
  const first = await ImageWorld.open(temporaryFolder('one'));
  await withImage(first, 1);
  await first.close();
  const second = await ImageWorld.open(directory, { store: first.store, stateId: 'b'.repeat(32) });
  const head = await second.openHead('disk');
  second.store.inject({ kind: 'stall' }, { operation: 'get', key: /segments/ });
  const write = codeOf(head.write(100, Buffer.alloc(100, 8)));
  await second.store.until(() => second.store.stalledCalls > 0);
  await second.catalogue.close(1000);
  // Descriptors of the closed layers are numbers that the next files get.
  const paths = Array.from({ length: 8 }, (_, index) => join(directory, `innocent-${index}`));
  const descriptors = paths.map((path) => openSync(path, 'w+'));
  second.store.releaseStalled();
  expect(await write).not.toBe('undefined');
  expect(paths.map((path) => readFileSync(path).length)).toEqual(paths.map(() => 0));
  for (const descriptor of descriptors) closeSync(descriptor);
  await second.mirror.close();
});

test('a catalogue that is closed writes no record any more: the next process may have the folder', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  // With changes the lock is kept, so that closing itself has nothing to write.
  await head.write(0, Buffer.alloc(CHUNK, 2));
  let written = 0;
  const note = (): void => void (written += 1);
  const changes = Array.from({ length: 100 }, (_, uid) =>
    head.setOwner({ uid, gid: 0, mode: 0o600, atimeMs: 0, mtimeMs: 0 }).then(note),
  );
  shut(head);
  await world.close();
  expect(written).toBe(100);
  await Promise.all(changes);
});

test('workers do not get a head back that has failed, not even by a commit', async () => {
  const feed = new KeptPlanes();
  const world = await ImageWorld.open(temporaryFolder('world'), { planes: feed });
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.expose(1);
  await head.write(0, Buffer.alloc(BLOCK, 2));
  const sync = jest.spyOn(Layer.prototype, 'syncData');
  try {
    sync.mockRejectedValue(
      Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO', syscall: 'fdatasync' }),
    );
    expect(await codeOf(head.fsync())).toBe('IO');
    expect(feed.planes.size).toBe(0);
    await (await world.catalogue.find('disk'))!.commit({}).catch(() => undefined);
    expect(feed.planes.size).toBe(0);
  } finally {
    sync.mockRestore();
  }
  shut(head);
  await world.openHead('disk');
  expect(feed.planes.size).toBe(1);
  await world.close();
});

test('a layer that could not be made leaves neither files nor open descriptors behind', async () => {
  const directory = temporaryFolder('layers');
  await expect(Layer.create(directory, 'c'.repeat(32), 2 ** 52)).rejects.toThrow(RangeError);
  expect(readdirSync(directory)).toEqual([]);
  expect(descriptorsUnder(directory)).toEqual([]);
});

test('the allocated size of a disk is estimated when the store does not answer', async () => {
  const first = await ImageWorld.open(temporaryFolder('one'));
  await withImage(first, 1);
  await first.close();
  const second = await ImageWorld.open(temporaryFolder('two'), { store: first.store, stateId: 'b'.repeat(32) });
  const head = await second.openHead('disk');
  second.store.inject({ kind: 'stall' }, { operation: 'get', key: /segments/, times: Infinity });
  await head.write(0, Buffer.alloc(BLOCK, 2));
  expect(await head.allocatedBytes()).toBe(4 * CHUNK);
  second.store.clearFaults();
  second.store.releaseStalled();
  await second.close();
});
