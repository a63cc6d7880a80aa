import { expect, test } from '@jest/globals';
import { tagKey, tombstoneKey } from '../../lib/format/keys.js';
import { collectRepository } from '../../lib/repository/collection.js';
import { describeImages } from '../../lib/repository/describe.js';
import { initRepository, openRepository } from '../../lib/repository/repository.js';
import { dropTag, dropTagsOf, moveTag, readTag, readTags, tagNames, taggedNumber } from '../../lib/repository/tags.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { CHUNK, publish, readBack } from './worlds.js';

const DAY = 24 * 60 * 60 * 1000;

/** `vm` with snapshots 1 to 3 of one chunk each, in a store whose clock can be moved on. */
async function threeSnapshots() {
  const clock = { nowMs: 1_000_000 * DAY };
  const memory = new MemoryStore('memory:', () => clock.nowMs);
  const store = new FaultyStore(memory);
  const { repository } = await initRepository(store, { chunkSizeBytes: CHUNK, compression: 'none' });
  for (const seed of [1, 2, 3]) await publish(repository, 'vm', new Map([[0, seed]]), CHUNK);
  store.resetCounts();
  return { clock, memory, store, repository };
}

// S59
test('a tag leads to its snapshot, and moves to another one by a single put', async () => {
  const { repository, store } = await threeSnapshots();
  expect(await moveTag(repository, 'vm', 'stable', 1)).toMatchObject({ moved: { number: 1 }, before: null });
  store.resetCounts();
  expect(await moveTag(repository, 'vm', 'stable', 3)).toMatchObject({ moved: { number: 3 }, before: { number: 1 } });
  const changes = store.calls.filter(({ operation }) => operation === 'put' || operation === 'delete');
  expect(changes.map(({ operation, key }) => [operation, key])).toEqual([['put', 'images/vm/tags/stable.json']]);
  expect(await taggedNumber(store, 'vm', 'stable')).toBe(3);
  expect((await repository.readRecord('vm', 3)).commitId).toBe((await readTag(store, 'vm', 'stable'))?.commitId);
});

test('of many who move a tag at once one wins, and whoever reads meanwhile sees a whole tag', async () => {
  const { repository, store } = await threeSnapshots();
  await moveTag(repository, 'vm', 'stable', 1);
  const moves = [1, 2, 3, 2, 3, 1].map((number) => moveTag(repository, 'vm', 'stable', number));
  const reads = Array.from({ length: 20 }, () => taggedNumber(store, 'vm', 'stable'));
  for (const number of await Promise.all(reads)) expect([1, 2, 3]).toContain(number);
  await Promise.all(moves);
  expect([1, 2, 3]).toContain(await taggedNumber(store, 'vm', 'stable'));
});

test('a tag is put on living snapshots only', async () => {
  const { repository, store } = await threeSnapshots();
  await repository.deleteSnapshot('vm', 2);
  for (const number of [2, 4]) {
    await expect(moveTag(repository, 'vm', 'stable', number)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
  await expect(moveTag(repository, 'vm', '3', 1)).rejects.toMatchObject({ code: 'USAGE' });
  expect(await tagNames(store, 'vm')).toEqual([]);
});

test('who asks for a tag that is not there is told which there are', async () => {
  const { repository, store } = await threeSnapshots();
  await expect(taggedNumber(store, 'vm', 'stable')).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: 'vm has no tag stable; it has no tags.',
  });
  await moveTag(repository, 'vm', 'testing', 3);
  await moveTag(repository, 'vm', 'old', 1);
  await expect(dropTag(store, 'vm', 'stable')).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: 'vm has no tag stable; its tags are old, testing.',
  });
});

test('listings name tags, and a description says where they lead', async () => {
  const { repository, store } = await threeSnapshots();
  await moveTag(repository, 'vm', 'testing', 3);
  await moveTag(repository, 'vm', 'old', 1);
  expect((await repository.listImage('vm')).tags).toEqual(['old', 'testing']);
  await store.inner.put(tagKey('vm', 'broken'), Buffer.from('{}'));
  expect((await describeImages(repository, { image: 'vm' }))[0]?.tags).toEqual([
    { tag: 'broken', problem: expect.stringContaining('images/vm/tags/broken.json is damaged') },
    { tag: 'old', number: 1, timeMs: expect.any(Number) },
    { tag: 'testing', number: 3, timeMs: expect.any(Number) },
  ]);
  await dropTag(store, 'vm', 'broken');
  expect(await tagNames(store, 'vm')).toEqual(['old', 'testing']);
});

test('a damaged tag is made good by moving it', async () => {
  const { repository, store } = await threeSnapshots();
  await store.inner.put(tagKey('vm', 'stable'), Buffer.from('{}'));
  expect(await moveTag(repository, 'vm', 'stable', 2)).toMatchObject({ before: null });
  expect(await taggedNumber(store, 'vm', 'stable')).toBe(2);
});

// S59
test('a tagged snapshot is not deleted until the tag is moved or gone', async () => {
  const { repository, store, memory } = await threeSnapshots();
  await moveTag(repository, 'vm', 'stable', 2);
  await moveTag(repository, 'vm', 'blessed', 2);
  await expect(repository.deleteSnapshot('vm', 2)).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringMatching(/^vm@2 is tagged \(vm:blessed, vm:stable\)/),
    facts: { tags: ['blessed', 'stable'] },
  });
  await expect(memory.get(tombstoneKey('vm', 2))).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await repository.deleteSnapshot('vm', 1);
  await dropTag(store, 'vm', 'blessed');
  await moveTag(repository, 'vm', 'stable', 3);
  await repository.deleteSnapshot('vm', 2);
  expect((await repository.listImage('vm')).snapshots.map(({ number }) => number)).toEqual([3]);
});

test('a tag that was moved after somebody had decided to delete what it led to stays where it is', async () => {
  const { repository, store } = await threeSnapshots();
  const { moved: old } = await moveTag(repository, 'vm', 'old', 1);
  const { moved: stable } = await moveTag(repository, 'vm', 'stable', 1);
  await moveTag(repository, 'vm', 'stable', 3);
  expect(await dropTagsOf(store, 'vm', [old, stable])).toEqual([old]);
  expect(await tagNames(store, 'vm')).toEqual(['stable']);
  expect(await taggedNumber(store, 'vm', 'stable')).toBe(3);
});

test('a tag that comes between the steps of a deletion stops it, and the snapshot lives on', async () => {
  const { repository, store } = await threeSnapshots();
  store.inject({ kind: 'stall' }, { operation: 'put', key: tombstoneKey('vm', 2) });
  const deleting = repository.deleteSnapshot('vm', 2);
  await store.until(() => store.stalledCalls === 1);
  await moveTag(await openRepository(store.inner), 'vm', 'stable', 2);
  store.releaseStalled();
  await expect(deleting).rejects.toMatchObject({ code: 'CONFLICT' });
  expect((await repository.listImage('vm')).snapshots.map(({ number }) => number)).toEqual([1, 2, 3]);
});

// S59. Not by a lazydisk that knows of tags, but for the last step of a race: the record goes although the tag is there.
test('a tag on a snapshot that was deleted keeps its data from every collection, and undelete makes it good', async () => {
  const { repository, memory, store, clock } = await threeSnapshots();
  const { moved } = await moveTag(repository, 'vm', 'stable', 2);
  const bytes = await memory.get(tagKey('vm', 'stable'));
  await dropTag(store, 'vm', 'stable');
  await repository.deleteSnapshot('vm', 1);
  await repository.deleteSnapshot('vm', 2);
  await memory.put(tagKey('vm', 'stable'), bytes);
  for (let run = 0; run < 3; run++) {
    clock.nowMs += 30 * DAY;
    await collectRepository(repository);
  }
  await expect(repository.undeleteSnapshot('vm', 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  const record = await repository.undeleteSnapshot('vm', moved.number);
  expect(await readBack(repository, record, [2])).toEqual(new Map([[0, 2]]));
  expect((await verifyRepository(repository)).damages).toEqual([]);
});

test('a collection does not remove what a tag that it can not read may keep', async () => {
  const { repository, memory, clock } = await threeSnapshots();
  await repository.deleteSnapshot('vm', 1);
  await memory.put(tagKey('vm', 'stable'), Buffer.from('{}'));
  clock.nowMs += 30 * DAY;
  await expect(collectRepository(repository)).rejects.toMatchObject({
    code: 'DAMAGED',
    message: expect.stringContaining('images/vm/tags/stable.json'),
  });
});

test('verify lists a tag that is damaged, or that means another commit than its number is', async () => {
  const { repository, memory } = await threeSnapshots();
  await moveTag(repository, 'vm', 'stable', 2);
  expect((await verifyRepository(repository)).damages).toEqual([]);
  const text = (await memory.get(tagKey('vm', 'stable'))).toString();
  const unsealed = text.replace(/,\s*"checksum".*(?=\})/s, '').replace(/"number": 2/, '"number": 3');
  await memory.put(tagKey('vm', 'stable'), Buffer.from(unsealed));
  await memory.put(tagKey('vm', 'broken'), Buffer.from('no json'));
  const { damages } = await verifyRepository(repository);
  expect(damages.map(({ object }) => object)).toEqual(['images/vm/tags/broken.json', 'images/vm/tags/stable.json']);
});

test('tags of an image without any cost one listing when they are asked for', async () => {
  const { store } = await threeSnapshots();
  expect(await readTags(store, 'vm', await tagNames(store, 'vm'))).toEqual([]);
  expect(store.calls.map(({ operation, key }) => `${operation} ${key}`)).toEqual(['list images/vm/tags/']);
});
