import { describe, expect, test } from '@jest/globals';
import { randomId } from '../../lib/format/checksums.js';
import { snapshotKey, tombstoneKey, writerKey } from '../../lib/format/keys.js';
import { PUBLISH_WINDOW_MS } from '../../lib/repository/reliance.js';
import { openRepository } from '../../lib/repository/repository.js';
import { StoredRepository } from '../../lib/repository/stored-repository.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { createWorld, keysOf, lockOf, recordOf } from './worlds.js';

describe('publishing a record', () => {
  test('makes the snapshot exist, for everybody', async () => {
    const { repository, store } = await createWorld();
    const record = recordOf({ label: 'first' });
    await repository.publishRecord('vm', record);
    const other = await openRepository(store);
    expect(await other.readRecord('vm', 1)).toEqual(record);
    expect(await other.imageNames()).toEqual(['vm']);
  });

  test('raced by many has one winner, and the others change nothing', async () => {
    const { repository, store } = await createWorld();
    const records = Array.from({ length: 10 }, () => recordOf());
    const outcomes = await Promise.allSettled(records.map((record) => repository.publishRecord('vm', record)));
    const winners = outcomes.flatMap((outcome, index) => (outcome.status === 'fulfilled' ? [records[index]!] : []));
    expect(winners).toHaveLength(1);
    expect(await (await openRepository(store)).readRecord('vm', 1)).toEqual(winners[0]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'EXISTS' });
    }
  });

  test('that had succeeded unseen succeeds when it is tried again', async () => {
    const { repository, store } = await createWorld();
    const record = recordOf();
    store.inject({ kind: 'fail-after' }, { operation: 'put', key: snapshotKey('vm', 1) });
    await expect(repository.publishRecord('vm', record)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await repository.publishRecord('vm', record);
    await expect(repository.publishRecord('vm', { ...record, commitId: randomId() })).rejects.toMatchObject({
      code: 'EXISTS',
    });
  });

  test('never uses the number of a deleted snapshot again', async () => {
    const { repository } = await createWorld();
    await repository.publishRecord('vm', recordOf());
    await repository.deleteSnapshot('vm', 1);
    await expect(repository.publishRecord('vm', recordOf())).rejects.toMatchObject({ code: 'EXISTS' });
  });

  test('never uses it again where its key was left free either', async () => {
    const { repository, store } = await createWorld();
    await repository.publishRecord('vm', recordOf());
    await repository.deleteSnapshot('vm', 1);
    await store.delete(snapshotKey('vm', 1));
    await expect(repository.publishRecord('vm', recordOf())).rejects.toMatchObject({ code: 'EXISTS' });
    expect(await repository.listImage('vm')).toMatchObject({ snapshots: [], deleted: [1], nextNumber: 2 });
    await repository.undeleteSnapshot('vm', 1);
    expect((await repository.listImage('vm')).snapshots).toMatchObject([{ number: 1 }]);
  });

  // S1
  test('never uses it again when the put has waited while another host published and deleted that number', async () => {
    const { repository, store } = await createWorld();
    const other = await openRepository(store.inner);
    await repository.assertExclusivePuts();
    store.inject({ kind: 'stall' }, { operation: 'put', key: snapshotKey('vm', 1) });
    const late = repository.publishRecord('vm', recordOf(), undefined, { number: 'listed' });
    await store.until(() => store.stalledCalls === 1);
    const record = recordOf();
    await other.publishRecord('vm', record);
    await other.deleteSnapshot('vm', 1);
    store.releaseStalled();
    await expect(late).rejects.toMatchObject({ code: 'EXISTS' });
    expect(await repository.listImage('vm')).toMatchObject({ snapshots: [], deleted: [1], nextNumber: 2 });
    expect(await repository.undeleteSnapshot('vm', 1)).toEqual(record);
  });
});

describe('what comes damaged', () => {
  /** The bit that makes a 2 of a 0, in the size of the record. */
  const flip = (bytes: Buffer): number => (bytes.indexOf('"sizeBytes": ') + 15) * 8 + 1;

  test('on the way is fetched again, once', async () => {
    const { repository, store } = await createWorld();
    const record = recordOf();
    await repository.publishRecord('vm', record);
    const key = snapshotKey('vm', 1);
    store.inject({ kind: 'flip-bit', bit: flip(await store.inner.get(key)) }, { operation: 'get', key });
    expect(await (await openRepository(store)).readRecord('vm', 1)).toEqual(record);
  });

  test('in the store is damaged, and nobody sees another size', async () => {
    const { repository, store } = await createWorld();
    await repository.publishRecord('vm', recordOf());
    const key = snapshotKey('vm', 1);
    store.inject({ kind: 'flip-bit', bit: flip(await store.inner.get(key)) }, { operation: 'get', key, times: 2 });
    await expect((await openRepository(store)).readRecord('vm', 1)).rejects.toMatchObject({ code: 'DAMAGED' });
  });
});

describe('a listing', () => {
  test('of an unknown image is empty, and number 1 is next', async () => {
    const { repository } = await createWorld();
    expect(await repository.listImage('vm')).toEqual({
      image: 'vm',
      snapshots: [],
      deleted: [],
      writer: null,
      tags: [],
      nextNumber: 1,
    });
  });

  test('shows living and deleted numbers, the lock, and the next number', async () => {
    const { repository } = await createWorld();
    for (const number of [1, 2, 5]) await repository.publishRecord('vm', recordOf({ number }));
    await repository.deleteSnapshot('vm', 2);
    await repository.deleteSnapshot('vm', 5);
    const lock = await repository.takeLock('vm', lockOf());
    const listing = await repository.listImage('vm');
    expect(listing.snapshots.map(({ number }) => number)).toEqual([1]);
    expect(listing).toMatchObject({ deleted: [2, 5], writer: lock, nextNumber: 6 });
  });

  test('names images with a living snapshot or a lock, and passes over strangers', async () => {
    const { repository, store } = await createWorld();
    await repository.publishRecord('b', recordOf());
    await repository.publishRecord('gone', recordOf());
    await repository.deleteSnapshot('gone', 1);
    await repository.takeLock('a', lockOf());
    for (const key of ['images/README', 'images/x/y/z', 'images/control/writer.json', 'images/n/snapshots/1.json']) {
      await store.put(key, Buffer.from('x'));
    }
    store.resetCounts();
    expect(await repository.imageNames()).toEqual(['a', 'b']);
    expect(store.requests).toBe(1);
  });

  test('of all images at once tells of each what its own tells, but for the lock', async () => {
    const { repository, store } = await createWorld();
    for (const number of [1, 2, 3]) await repository.publishRecord('a', recordOf({ number }));
    await repository.deleteSnapshot('a', 2);
    await repository.publishRecord('b', recordOf());
    await repository.takeLock('b', lockOf());
    const expected = [await repository.listImage('a'), await repository.listImage('b')];
    store.resetCounts();
    const summaries = await repository.imageSummaries();
    expect(summaries.map(({ image, hasLock }) => [image, hasLock])).toEqual([
      ['a', false],
      ['b', true],
    ]);
    const listings = await Promise.all(summaries.map((summary) => repository.completeListing(summary)));
    expect(listings).toEqual(expected);
    expect(store.calls.map(({ operation, key }) => `${operation} ${key}`)).toEqual([
      'list images/',
      'get images/b/writer.json',
    ]);
  });

  test('of image a has nothing of image ab', async () => {
    const { repository } = await createWorld();
    await repository.publishRecord('ab', recordOf());
    expect((await repository.listImage('a')).snapshots).toEqual([]);
  });
});

describe('reading a record', () => {
  test('that is not there says which', async () => {
    const { repository } = await createWorld();
    await expect(repository.readRecord('vm', 7)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('vm@7'),
    });
  });

  test('asks the store once', async () => {
    const { store } = await createWorld();
    await (await openRepository(store)).publishRecord('vm', recordOf());
    const repository = await openRepository(store);
    store.resetCounts();
    await repository.readRecord('vm', 1);
    await repository.readRecord('vm', 1);
    expect(store.requests).toBe(1);
  });

  test('that belongs to another number is damage', async () => {
    const { repository, store } = await createWorld();
    await repository.publishRecord('vm', recordOf({ number: 1 }));
    await store.put(snapshotKey('vm', 2), await store.get(snapshotKey('vm', 1)));
    await expect(repository.readRecord('vm', 2)).rejects.toMatchObject({ code: 'DAMAGED' });
  });
});

describe('an empty record', () => {
  test('without a tombstone is damage, which a deletion takes away', async () => {
    const { repository, store } = await createWorld();
    await repository.publishRecord('vm', recordOf());
    await store.put(snapshotKey('vm', 2), Buffer.alloc(0));
    expect(await repository.listImage('vm')).toMatchObject({
      snapshots: [{ number: 1 }, { number: 2 }],
      deleted: [],
      nextNumber: 3,
    });
    await expect(repository.readRecord('vm', 2)).rejects.toMatchObject({ code: 'DAMAGED' });
    expect((await verifyRepository(repository)).damages).toMatchObject([{ object: snapshotKey('vm', 2) }]);
    await repository.deleteSnapshot('vm', 2);
    expect(await repository.listImage('vm')).toMatchObject({ snapshots: [{ number: 1 }], deleted: [2] });
    expect(await verifyRepository(repository)).toMatchObject({ damages: [], records: 1, tombstones: 1 });
    await expect(repository.undeleteSnapshot('vm', 2)).rejects.toMatchObject({ code: 'DAMAGED' });
  });
});

describe('deleting a snapshot', () => {
  test('writes the tombstone before it empties the record', async () => {
    const { repository, store } = await createWorld();
    await repository.publishRecord('vm', recordOf());
    store.resetCounts();
    await repository.deleteSnapshot('vm', 1);
    const changes = store.calls.filter(({ operation }) => operation === 'put' || operation === 'delete');
    expect(changes.map(({ operation, key }) => [operation, key])).toEqual([
      ['put', tombstoneKey('vm', 1)],
      ['put', snapshotKey('vm', 1)],
    ]);
    expect(await store.get(snapshotKey('vm', 1))).toEqual(Buffer.alloc(0));
    await expect(repository.readRecord('vm', 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('interrupted between the two leaves it living, and deleting again finishes', async () => {
    const { repository, store } = await createWorld();
    await repository.publishRecord('vm', recordOf());
    store.inject({ kind: 'fail-before' }, { operation: 'put', key: snapshotKey('vm', 1) });
    await expect(repository.deleteSnapshot('vm', 1)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    expect((await repository.listImage('vm')).snapshots).toHaveLength(1);
    await repository.deleteSnapshot('vm', 1);
    await repository.deleteSnapshot('vm', 1);
    expect(await repository.listImage('vm')).toMatchObject({ snapshots: [], deleted: [1], nextNumber: 2 });
  });

  test('that never was is not found', async () => {
    const { repository } = await createWorld();
    await expect(repository.deleteSnapshot('vm', 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('is refused while the lock of its image names it as base', async () => {
    const { repository } = await createWorld();
    const record = recordOf();
    await repository.publishRecord('vm', record);
    await repository.publishRecord('vm', recordOf({ number: 2 }));
    await repository.takeLock('vm', lockOf({ base: { number: 1, commitId: record.commitId }, host: 'blade-7' }));
    await expect(repository.deleteSnapshot('vm', 1)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('blade-7'),
    });
    await repository.deleteSnapshot('vm', 2);
    expect((await repository.listImage('vm')).snapshots).toMatchObject([{ number: 1 }]);
  });

  test('is given up when a writer takes it as base meanwhile', async () => {
    const { repository, store } = await createWorld();
    const record = recordOf();
    await repository.publishRecord('vm', record);
    store.inject({ kind: 'stall' }, { operation: 'put', key: tombstoneKey('vm', 1) });
    const deletion = repository.deleteSnapshot('vm', 1);
    await store.until(() => store.stalledCalls === 1);
    await repository.takeLock('vm', lockOf({ base: { number: 1, commitId: record.commitId } }));
    store.releaseStalled();
    await expect(deletion).rejects.toMatchObject({ code: 'LOCKED' });
    // With record and tombstone, the snapshot lives.
    expect(await keysOf(store, 'images/vm/snapshots/')).toEqual([snapshotKey('vm', 1)]);
    expect((await repository.listImage('vm')).snapshots).toHaveLength(1);
  });

  test('keeps the bytes of a damaged record in its tombstone', async () => {
    const { repository, store } = await createWorld();
    await store.put(snapshotKey('vm', 1), Buffer.from('garbage'));
    await repository.deleteSnapshot('vm', 1);
    const tombstone = JSON.parse((await store.get(tombstoneKey('vm', 1))).toString()) as { unreadable: string };
    expect(Buffer.from(tombstone.unreadable, 'base64').toString()).toBe('garbage');
  });

  test('that comes to the record a quarter of an hour after the tombstone is given up: the grace would be short', async () => {
    const { repository, store } = await createWorld();
    await repository.publishRecord('vm', recordOf());
    let nowMs = 0;
    const slow = new StoredRepository(store, repository.marker, undefined, () => () => nowMs);
    store.inject({ kind: 'stall' }, { operation: 'put', key: tombstoneKey('vm', 1) });
    const deletion = slow.deleteSnapshot('vm', 1);
    await store.until(() => store.stalledCalls === 1);
    nowMs = PUBLISH_WINDOW_MS + 1;
    store.releaseStalled();
    await expect(deletion).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining('15 minutes') });
    expect((await repository.listImage('vm')).snapshots).toHaveLength(1);
  });

  test('of a record that needs a newer lazydisk is refused', async () => {
    const { repository, store } = await createWorld();
    await store.put(snapshotKey('vm', 1), Buffer.from(JSON.stringify(recordOf({ requires: ['later'] }))));
    await expect(repository.deleteSnapshot('vm', 1)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    expect(await keysOf(store, 'images/')).toEqual([snapshotKey('vm', 1)]);
  });
});

describe('the lock of a writer', () => {
  test('raced by many has one holder, and the others hear who', async () => {
    const { repository } = await createWorld();
    const locks = Array.from({ length: 8 }, (_, index) => lockOf({ host: `host-${index}` }));
    const outcomes = await Promise.allSettled(locks.map((lock) => repository.takeLock('vm', lock)));
    const held = (await repository.readLock('vm'))!;
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        expect(outcome.reason).toMatchObject({ code: 'LOCKED', facts: { lock: held } });
        expect(String(outcome.reason)).toContain(held.host);
      }
    }
  });

  test('is kept when it is ours already', async () => {
    const { repository } = await createWorld();
    const lock = await repository.takeLock('vm', lockOf());
    expect(await repository.takeLock('vm', { ...lock, timeMs: 99 })).toEqual(lock);
  });

  test('changes its base only for its holder', async () => {
    const { repository } = await createWorld();
    const lock = await repository.takeLock('vm', lockOf());
    const moved = { ...lock, base: { number: 2, commitId: randomId() } };
    await repository.updateLock('vm', moved);
    expect(await repository.readLock('vm')).toEqual(moved);
    await expect(repository.updateLock('vm', lockOf())).rejects.toMatchObject({ code: 'LOCKED' });
    expect(await repository.readLock('vm')).toEqual(moved);
  });

  test('is given up by its holder or by force, not by a stranger', async () => {
    const { repository } = await createWorld();
    const lock = await repository.takeLock('vm', lockOf());
    expect(await repository.releaseLock('vm', randomId())).toBeNull();
    expect(await repository.readLock('vm')).toEqual(lock);
    expect(await repository.releaseLock('vm', lock.stateId)).toEqual(lock);
    expect(await repository.releaseLock('vm', undefined)).toBeNull();
    await repository.takeLock('vm', lock);
    expect(await repository.releaseLock('vm', undefined)).toEqual(lock);
  });

  test('that is damaged can be removed by force', async () => {
    const { repository, store } = await createWorld();
    await store.put(writerKey('vm'), Buffer.from('{}'));
    await expect(repository.takeLock('vm', lockOf())).rejects.toMatchObject({ code: 'DAMAGED' });
    await repository.releaseLock('vm', undefined);
    await repository.takeLock('vm', lockOf());
  });
});
