/** Clones that live in the state directory alone, until their first commit. */
import { expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { LazydiskError } from '../../lib/util/errors.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, codeOf, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const BLOCK = 4096;

async function worldWithLocal(directory = temporaryFolder('world')): Promise<ImageWorld> {
  const world = await ImageWorld.open(directory);
  await withImage(world, 1);
  await world.catalogue.unlock('disk');
  world.store.resetCounts();
  const outcome = await world.catalogue.clone('disk', 'copy', { local: true });
  expect(outcome).toEqual({ image: 'copy', number: null, source: { image: 'disk', number: 1 } });
  return world;
}

async function byteOf(world: ImageWorld, name: string, offset = 0): Promise<number | undefined> {
  const head = await (await world.catalogue.find(name))!.head();
  return (await head!.read(offset, 1))[0];
}

// S50
test('a local clone is read and written without one object put, and other hosts see nothing of it', async () => {
  const world = await worldWithLocal();
  const head = await world.openHead('copy');
  expect(await byteOf(world, 'copy')).toBe(1);
  await head.write(0, Buffer.alloc(BLOCK, 2));
  await head.fsync();
  shut(head);
  expect(world.store.counts.put.requests).toBe(0);
  expect(await world.catalogue.names()).toEqual(['copy', 'disk']);
  expect(await world.repository.imageNames()).toEqual(['disk']);
  const image = (await world.catalogue.find('copy'))!;
  expect(await image.snapshots()).toEqual([]);
  expect(await image.status()).toMatchObject({
    baseNumber: null,
    localCloneOf: { image: 'disk', number: 1 },
    dirtyBytes: BLOCK,
    lock: null,
    lockIsOurs: false,
  });
  expect(await byteOf(world, 'disk')).toBe(1);
  await world.close();
});

// S50
test('a local clone and what was written to it outlive the daemon, also while the store is away', async () => {
  const world = await worldWithLocal();
  const head = await world.openHead('copy');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  await head.fsync();
  await world.crash({ newBoot: true });
  world.store.setOutage(true);
  expect(await byteOf(world, 'copy')).toBe(2);
  const again = await world.openHead('copy');
  await again.write(BLOCK, Buffer.alloc(BLOCK, 3));
  await world.reopen();
  expect(await byteOf(world, 'copy', BLOCK)).toBe(3);
  world.store.setOutage(false);
  await world.close();
});

// S50
test('the first commit of a local clone publishes it as snapshot 1, made from where it stood', async () => {
  const world = await worldWithLocal();
  const head = await world.openHead('copy');
  const contentId = head.contentId;
  await head.write(CHUNK, Buffer.alloc(BLOCK, 2));
  const image = (await world.catalogue.find('copy'))!;
  expect(await image.commit({})).toMatchObject({ image: 'copy', number: 1, changed: true, dirtyBytes: CHUNK });
  const record = await world.repository.readRecord('copy', 1);
  expect(record).toMatchObject({ imageId: image.id, parent: { image: 'disk', number: 1 } });
  expect(head.contentId).toBe(contentId);
  expect(await image.status()).toMatchObject({ baseNumber: 1, localCloneOf: null, dirtyBytes: 0, lockIsOurs: true });
  await head.write(0, Buffer.alloc(BLOCK, 3));
  expect(await image.commit({})).toMatchObject({ number: 2 });
  const second = await ImageWorld.open(temporaryFolder('two'), { store: world.store, stateId: 'b'.repeat(32) });
  expect(await byteOf(second, 'copy')).toBe(3);
  expect(await byteOf(second, 'copy', CHUNK)).toBe(2);
  await world.close();
  await second.close();
});

test('a local clone in which nothing was written is published as it is, at the cost of lock, record and lock', async () => {
  const world = await worldWithLocal();
  expect(await (await world.catalogue.find('copy'))!.commit({})).toMatchObject({ number: 1, uploadedBytes: 0 });
  const puts = world.store.calls.filter(({ operation }) => operation === 'put').map(({ key }) => key);
  expect(puts.filter((key) => key.startsWith('segments/'))).toEqual([]);
  expect(puts.filter((key) => key.includes('snapshots/'))).toEqual(['images/copy/snapshots/00000001.json']);
  await world.close();
});

// S29
test('a commit without the right to put says so and keeps everything; with it, it succeeds', async () => {
  const world = await worldWithLocal();
  const head = await world.openHead('copy');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  const refused = new LazydiskError('REFUSED', 'The store denied the PUT.');
  world.store.inject({ kind: 'fail-before', error: refused }, { operation: 'put', times: Infinity });
  const image = (await world.catalogue.find('copy'))!;
  expect(await codeOf(image.commit({}))).toBe('REFUSED');
  await world.reopen();
  expect(await byteOf(world, 'copy')).toBe(2);
  world.store.clearFaults();
  expect(await (await world.catalogue.find('copy'))!.commit({})).toMatchObject({ number: 1, changed: true });
  await world.close();
});

// S50
test('of two hosts with a local clone of one name, the second to commit keeps its changes and saves them as another', async () => {
  const world = await worldWithLocal();
  const other = await ImageWorld.open(temporaryFolder('two'), { store: world.store, stateId: 'b'.repeat(32) });
  await other.catalogue.clone('disk', 'copy', { local: true });
  await (await other.openHead('copy')).write(0, Buffer.alloc(BLOCK, 7));
  const head = await world.openHead('copy');
  await head.write(0, Buffer.alloc(BLOCK, 8));
  await (await other.catalogue.find('copy'))!.commit({});
  const image = (await world.catalogue.find('copy'))!;
  await expect(image.commit({})).rejects.toMatchObject({
    code: 'LOCKED',
    message: expect.stringContaining('copy --as NEW-IMAGE') as unknown,
  });
  await other.close();
  await expect(image.commit({})).rejects.toMatchObject({
    code: 'EXISTS',
    message: expect.stringContaining('--as') as unknown,
  });
  // The lock that it took to find this out is given back.
  expect(await world.repository.readLock('copy')).toBeNull();
  expect(await image.commit({ as: 'mine' })).toMatchObject({ image: 'mine', number: 1, dirtyBytes: CHUNK });
  expect(await byteOf(world, 'mine')).toBe(8);
  expect(await byteOf(world, 'copy')).toBe(8);
  expect((await image.status()).localCloneOf).toEqual({ image: 'disk', number: 1 });
  await world.close();
});

test.each(['frozen', 'uploaded', 'published', 'adopted'] as const)(
  'a kill of the first commit after it is %s leaves the local clone or the snapshot, and trying again finishes',
  async (last) => {
    const world = await worldWithLocal();
    const head = await world.openHead('copy');
    await head.write(0, Buffer.alloc(BLOCK, 2));
    world.onCommitStep = (step) => {
      if (step === last) throw new Error('killed');
    };
    await (await world.catalogue.find('copy'))!.commit({}).catch(() => undefined);
    world.onCommitStep = () => undefined;
    await world.crash({ newBoot: true });
    const isPublished = last === 'published' || last === 'adopted';
    const image = (await world.catalogue.find('copy'))!;
    expect((await image.status()).localCloneOf).toEqual(isPublished ? null : { image: 'disk', number: 1 });
    // What no fsync covered may be gone with the host until the commit has synced it.
    expect(await image.commit({})).toMatchObject({ number: 1, changed: !isPublished });
    expect(await byteOf(world, 'copy', CHUNK)).toBe(1);
    if (isPublished) expect(await byteOf(world, 'copy')).toBe(2);
    await world.close();
  },
);

test('a local clone whose source was deleted meanwhile is not published on what may be collected', async () => {
  const world = await worldWithLocal();
  const head = await world.openHead('copy');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  await world.repository.deleteSnapshot('disk', 1);
  const image = (await world.catalogue.find('copy'))!;
  expect(await codeOf(image.commit({}))).toBe('CONFLICT');
  expect(await codeOf(image.commit({ as: 'mine' }))).toBe('CONFLICT');
  expect(await byteOf(world, 'copy')).toBe(2);
  expect(await byteOf(world, 'copy', CHUNK)).toBe(1);
  await world.close();
});

test('the record of a local clone has a version that an older lazydisk refuses, until it is published', async () => {
  const directory = temporaryFolder('world');
  const world = await worldWithLocal(directory);
  const image = (await world.catalogue.find('copy'))!;
  const stateVersion = (): unknown =>
    (JSON.parse(readFileSync(join(directory, 'heads', image.id, 'head.json'), 'utf8')) as { stateVersion: unknown })
      .stateVersion;
  expect(stateVersion()).toBe(2);
  await world.reopen();
  expect(stateVersion()).toBe(2);
  await (await world.catalogue.find('copy'))!.commit({});
  expect(stateVersion()).toBe(1);
  await world.close();
});

// S33, S8
test('a local clone is reverted to where it began, and removed like an image that was never committed', async () => {
  const directory = temporaryFolder('world');
  const world = await worldWithLocal(directory);
  const head = await world.openHead('copy');
  await head.write(0, Buffer.alloc(BLOCK, 2));
  expect(await codeOf(world.catalogue.remove('copy'))).toBe('BUSY');
  shut(head);
  const image = (await world.catalogue.find('copy'))!;
  await image.revert();
  expect(await byteOf(world, 'copy')).toBe(1);
  expect((await image.status()).localCloneOf).toEqual({ image: 'disk', number: 1 });
  await world.catalogue.remove('copy');
  expect(await world.catalogue.find('copy')).toBeUndefined();
  expect(readdirSync(join(directory, 'heads'))).toHaveLength(1);
  await world.close();
});

// S8
test('while an image is removed nobody can open it: what would be written is refused, and does not vanish', async () => {
  const directory = temporaryFolder('world');
  const world = await worldWithLocal(directory);
  world.store.inject({ kind: 'stall' }, { operation: 'get', key: /copy.writer/ });
  const removed = world.catalogue.remove('copy');
  await world.store.until(() => world.store.stalledCalls === 1);
  const head = (await (await world.catalogue.find('copy'))!.head())!;
  expect(() => head.opened()).toThrow(expect.objectContaining({ code: 'STALE' }) as unknown as Error);
  const opening = codeOf(head.openForWriting());
  world.store.releaseStalled();
  await removed;
  expect(await opening).toBe('STALE');
  expect(await world.catalogue.find('copy')).toBeUndefined();
  expect(readdirSync(join(directory, 'heads'))).toHaveLength(1);
  await world.close();
});

// S8, S50
test('a local clone is removed while the store is away', async () => {
  const world = await worldWithLocal();
  world.store.setOutage(true);
  await world.catalogue.remove('copy');
  world.store.setOutage(false);
  expect(await world.catalogue.find('copy')).toBeUndefined();
  await world.close();
});

test('a clone of a clean local clone is made from the snapshot that it stands on', async () => {
  const world = await worldWithLocal();
  expect(await world.catalogue.clone('copy', 'far', {})).toMatchObject({ number: 1, source: { image: 'disk' } });
  expect(await world.catalogue.clone('copy', 'near', { local: true })).toMatchObject({
    number: null,
    source: { image: 'disk', number: 1 },
  });
  expect(await byteOf(world, 'near')).toBe(1);
  await (await world.openHead('copy')).write(0, Buffer.alloc(BLOCK, 2));
  expect(await codeOf(world.catalogue.clone('copy', 'other', { local: true }))).toBe('CONFLICT');
  await world.close();
});

test('of local clones of one name that are asked for at once one is made, and a name that is taken is refused', async () => {
  const directory = temporaryFolder('world');
  const world = await worldWithLocal(directory);
  const clone = (name: string): Promise<string> => codeOf(world.catalogue.clone('disk', name, { local: true }));
  expect((await Promise.all([clone('twin'), clone('twin')])).sort()).toEqual(['EXISTS', 'undefined']);
  expect(await clone('disk')).toBe('EXISTS');
  expect(await clone('copy')).toBe('EXISTS');
  // disk, copy, twin
  expect(readdirSync(join(directory, 'heads'))).toHaveLength(3);
  await world.close();
});

// S94
test('a local clone of a larger size is larger at once, stays so after a loss of power, and is committed so', async () => {
  const world = await worldWithLocal();
  const { sizeBytes } = await world.repository.readRecord('disk', 1);
  const larger = sizeBytes + 3 * CHUNK + 512;
  await world.catalogue.clone('disk', 'large', { local: true, sizeBytes: larger });
  expect(world.store.counts.put.requests).toBe(0);
  await world.crash({ newBoot: true });
  const head = await world.openHead('large');
  expect(head.sizeBytes()).toBe(larger);
  expect(await byteOf(world, 'large')).toBe(1);
  expect(await byteOf(world, 'large', larger - 1)).toBe(0);
  shut(head);
  await (await world.catalogue.find('large'))!.commit({});
  expect(await world.repository.readRecord('large', 1)).toMatchObject({ sizeBytes: larger });
  await expect(world.catalogue.clone('disk', 'small', { local: true, sizeBytes: 1 })).rejects.toMatchObject({
    code: 'USAGE',
  });
  expect(await world.catalogue.names()).not.toContain('small');
  await world.close();
});
