import { describe, expect, test } from '@jest/globals';
import { randomId } from '../../lib/format/checksums.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { openRepository } from '../../lib/repository/repository.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { CHUNK, createWorld, lockOf, publish, readBack } from './worlds.js';

async function worldWithImage() {
  const world = await createWorld();
  const record = await publish(
    world.repository,
    'base',
    new Map([
      [0, 1],
      [300, 2],
    ]),
    1000 * CHUNK,
  );
  world.store.resetCounts();
  return { ...world, record, clone: { from: 'base', number: 1, to: 'vm', writerId: randomId() } };
}

describe('a clone', () => {
  test('is one small put, and reads as its source', async () => {
    const { repository, store, record, clone } = await worldWithImage();
    const made = await cloneSnapshot(repository, { ...clone, label: 'web' });
    expect(store.counts.put.requests).toBe(1);
    expect(store.counts.put.bytes).toBeLessThan(2000);
    expect(made).toMatchObject({ number: 1, root: record.root, label: 'web', allocatedBytes: record.allocatedBytes });
    expect(made.imageId).not.toBe(record.imageId);
    expect(made.parent).toEqual({ image: 'base', imageId: record.imageId, number: 1, commitId: record.commitId });
    expect([...(await readBack(repository, made, [1, 2]))]).toEqual([
      [0, 1],
      [300, 2],
    ]);
  });

  // S94
  test.each([
    ['in the same tree', 1000 * CHUNK + 12_345, 1],
    ['under nodes above its root', 70_000 * CHUNK, 2],
  ])('of a larger size has its source %s, and zeros behind it', async (_, sizeBytes, puts) => {
    const { repository, store, record, clone } = await worldWithImage();
    const made = await cloneSnapshot(repository, { ...clone, sizeBytes });
    expect(store.counts.put.requests).toBe(puts);
    expect(made).toMatchObject({ sizeBytes, allocatedBytes: record.allocatedBytes });
    expect([...(await readBack(repository, made, [1, 2]))]).toEqual([
      [0, 1],
      [300, 2],
    ]);
    await expect(cloneSnapshot(repository, { ...clone, to: 'small', sizeBytes: 5 })).rejects.toMatchObject({
      code: 'USAGE',
    });
    await expect(cloneSnapshot(repository, { ...clone, to: 'huge', sizeBytes: 2 ** 50 })).rejects.toMatchObject({
      code: 'TOO_LARGE',
    });
    expect(await repository.imageNames()).toEqual(['base', 'vm']);
  });

  test('is two round trips: three questions at once, and the put', async () => {
    const { repository, store, clone } = await worldWithImage();
    await repository.assertExclusivePuts();
    const fresh = await openRepository(store);
    store.resetCounts();
    store.inject({ kind: 'stall' }, { times: Number.POSITIVE_INFINITY });
    const cloned = cloneSnapshot(fresh, clone);
    // Nothing is answered, so what is asked now waits for nothing else.
    await store.until(() => store.stalledCalls === 3);
    expect(store.calls.map(({ operation, key }) => `${operation} ${key}`).sort()).toEqual([
      'get images/base/snapshots/00000001.json',
      'list images/vm/',
      'put lazydisk.json',
    ]);
    store.releaseStalled();
    await store.until(() => store.stalledCalls === 1);
    expect(store.calls.slice(3).map(({ operation, key }) => `${operation} ${key}`)).toEqual([
      'put images/vm/snapshots/00000001.json',
    ]);
    store.releaseStalled();
    await cloned;
    expect(store.requests).toBe(4);
  });

  test('finds its source by a promise while it asks the rest', async () => {
    const { repository, clone } = await worldWithImage();
    expect((await cloneSnapshot(repository, { ...clone, number: Promise.resolve(1) })).parent?.number).toBe(1);
    const missing = Promise.reject(new LazydiskError('NOT_FOUND', 'no image'));
    const refused = cloneSnapshot(repository, { ...clone, number: missing, to: 'vm2' });
    await expect(refused).rejects.toMatchObject({ code: 'NOT_FOUND', message: 'no image' });
  });

  test('reads the expected record while its number is found, and another one when it was not the right one', async () => {
    const { repository, store, clone } = await worldWithImage();
    const expected = await cloneSnapshot(repository, { ...clone, number: Promise.resolve(1), expected: 1 });
    expect(expected.parent?.number).toBe(1);
    expect(store.counts.get.requests).toBe(1);
    const other = await cloneSnapshot(repository, { ...clone, number: Promise.resolve(1), expected: 7, to: 'vm2' });
    expect(other.parent?.number).toBe(1);
  });

  test('survives the deletion of its source', async () => {
    const { repository, clone } = await worldWithImage();
    const made = await cloneSnapshot(repository, clone);
    await repository.deleteSnapshot('base', 1);
    expect((await readBack(repository, made, [1, 2])).size).toBe(2);
  });

  test('of a name that lives, by a snapshot or by a lock, is refused', async () => {
    const { repository, clone } = await worldWithImage();
    await expect(cloneSnapshot(repository, { ...clone, to: 'base' })).rejects.toMatchObject({ code: 'EXISTS' });
    await repository.takeLock('vm', lockOf());
    await expect(cloneSnapshot(repository, clone)).rejects.toMatchObject({ code: 'EXISTS' });
  });

  test('of a name that was deleted takes the next number', async () => {
    const { repository, clone } = await worldWithImage();
    const first = await cloneSnapshot(repository, clone);
    await repository.deleteSnapshot('vm', 1);
    const second = await cloneSnapshot(repository, clone);
    expect(second.number).toBe(2);
    expect(second.imageId).not.toBe(first.imageId);
  });

  test('raced by many has one winner', async () => {
    const { repository, clone } = await worldWithImage();
    const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => cloneSnapshot(repository, clone)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'EXISTS' });
    }
  });

  test('of what is not there, or under a bad name, says so', async () => {
    const { repository, clone } = await worldWithImage();
    await expect(cloneSnapshot(repository, { ...clone, number: 2 })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(cloneSnapshot(repository, { ...clone, to: 'control' })).rejects.toMatchObject({ code: 'USAGE' });
  });
});
