import { beforeEach, describe, expect, test } from '@jest/globals';
import { decodeCondemnedList, encodeCondemnedList } from '../../lib/format/condemned-list.js';
import { randomId } from '../../lib/format/checksums.js';
import { clockKey, condemnedKey, segmentKey, snapshotKey, tombstoneKey, writerKey } from '../../lib/format/keys.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { collectRepository, DEFAULT_GRACE_MS } from '../../lib/repository/collection.js';
import { planCollection } from '../../lib/repository/collection-plan.js';
import { initRepository } from '../../lib/repository/repository.js';
import { StoredRepository } from '../../lib/repository/stored-repository.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { CHUNK, keysOf, lockOf, publish, readBack, recordOf, writeTree } from './worlds.js';

const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;

let nowMs: number;
let memory: MemoryStore;
let store: FaultyStore;
let repository: StoredRepository;
beforeEach(makeRepository);

async function makeRepository(): Promise<void> {
  nowMs = 1_000_000 * DAY;
  memory = new MemoryStore('memory:', () => nowMs);
  store = new FaultyStore(memory);
  ({ repository } = await initRepository(store, { chunkSizeBytes: CHUNK, compression: 'none' }));
}

const segments = () => keysOf(memory, 'segments/');

/** What an interrupted writer leaves. */
async function garbage(bytes = 'left by an interrupted import'): Promise<string> {
  const segment = randomId();
  await memory.put(segmentKey(segment), Buffer.from(bytes));
  return segment;
}

// S54
describe('a collection', () => {
  test('condemns what nothing refers to, and removes it when the grace is over', async () => {
    await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    const living = await segments();
    const segment = await garbage();
    const first = await collectRepository(repository);
    expect(first).toMatchObject({
      condemned: { segments: 1, bytes: 29 },
      removed: { segments: 0 },
      living: { segments: 2 },
    });
    const [list] = await keysOf(memory, 'condemned/');
    expect(decodeCondemnedList(await memory.get(list!), list!)).toMatchObject({
      graceMs: DEFAULT_GRACE_MS,
      segments: [segment],
    });
    nowMs += DEFAULT_GRACE_MS - 1;
    expect(await collectRepository(repository)).toMatchObject({ waiting: { segments: 1 }, removed: { segments: 0 } });
    nowMs += 1;
    store.resetCounts();
    const last = await collectRepository(repository);
    // Were the list to go first, a writer could find neither list nor removal, and share the segment.
    const deleted = store.calls.filter(({ operation, key }) => operation === 'delete' && !key.startsWith('clock/'));
    expect(deleted.map(({ key }) => key)).toEqual([segmentKey(segment), list]);
    expect(last).toMatchObject({ removed: { segments: 1, bytes: 29 }, condemned: { segments: 0, bytes: 0 } });
    expect(await segments()).toEqual(living);
    expect(await keysOf(memory, 'condemned/')).toEqual([]);
    expect(await keysOf(memory, 'clock/')).toEqual([]);
  });

  test('keeps to the grace that a list promises, whatever a later run says', async () => {
    await garbage();
    await collectRepository(repository, { graceMs: 2 * DAY });
    nowMs += DAY;
    expect(await collectRepository(repository, { graceMs: HOUR })).toMatchObject({ waiting: { segments: 1 } });
    nowMs += DAY;
    expect(await collectRepository(repository, { graceMs: HOUR })).toMatchObject({ removed: { segments: 1 } });
  });

  test('lets a condemned segment live that is referred to by now', async () => {
    const { root, ...rest } = await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    const record = await memory.get(snapshotKey('disk', 1));
    await memory.delete(snapshotKey('disk', 1));
    await collectRepository(repository, { graceMs: HOUR });
    nowMs += HOUR;
    await memory.put(snapshotKey('disk', 1), record);
    const report = await collectRepository(repository, { graceMs: HOUR });
    expect(report).toMatchObject({ living: { segments: 2 }, removed: { segments: 0 } });
    expect(await keysOf(memory, 'condemned/')).toEqual([]);
    expect(await readBack(repository, { root, ...rest }, [1])).toEqual(new Map([[0, 1]]));
  });

  test('gives back a deleted snapshot only after its own grace and that of its segments', async () => {
    await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await repository.deleteSnapshot('disk', 1);
    nowMs += DAY - 1;
    expect(await collectRepository(repository, { graceMs: DAY })).toMatchObject({
      condemned: { segments: 0 },
      finalisedTombstones: 0,
    });
    nowMs += 1;
    expect(await collectRepository(repository, { graceMs: DAY })).toMatchObject({
      condemned: { segments: 2 },
      finalisedTombstones: 1,
    });
    nowMs += DAY;
    expect(await collectRepository(repository, { graceMs: DAY })).toMatchObject({
      removed: { segments: 2 },
      finalisedTombstones: 0,
    });
    expect(await segments()).toEqual([]);
    expect((await repository.listImage('disk')).nextNumber).toBe(2);
  });

  test('keeps what a clone shares with a deleted source', async () => {
    await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    const clone = await cloneSnapshot(repository, { from: 'disk', number: 1, to: 'vm', writerId: randomId() });
    await repository.deleteSnapshot('disk', 1);
    for (let run = 0; run < 3; run++) {
      expect((await collectRepository(repository, { graceMs: HOUR })).condemned.segments).toBe(0);
      nowMs += DAY;
    }
    expect(await readBack(repository, clone, [1])).toEqual(new Map([[0, 1]]));
  });

  test('keeps the deleted base of a head that a lock names', async () => {
    const { commitId } = await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await repository.deleteSnapshot('disk', 1);
    await repository.takeLock('disk', lockOf({ base: { number: 1, commitId } }));
    nowMs += 30 * DAY;
    expect(await collectRepository(repository)).toMatchObject({ condemned: { segments: 0 }, finalisedTombstones: 0 });
    await repository.releaseLock('disk', undefined);
    expect(await collectRepository(repository)).toMatchObject({ condemned: { segments: 2 }, finalisedTombstones: 1 });
  });

  test('sees a snapshot that was cloned and deleted while the listing went by', async () => {
    await publish(repository, 'z', new Map([[0, 1]]), CHUNK);
    const ids = (await segments()).map((key) => key.slice('segments/'.length));
    const key = condemnedKey(randomId());
    const list = { formatVersion: 1, requires: [], graceMs: HOUR, segments: ids } as const;
    await memory.put(key, encodeCondemnedList(list, key));
    nowMs += HOUR;
    // The first page ends before the snapshots of z, behind the name of the clone and the tombstones of z.
    const end = 'images/z/e';
    const paged = new FaultyStore(memory);
    let pages = 0;
    paged.list = async (prefix, options) => {
      const { objects: first, ...rest } = await memory.list(prefix, options);
      if (prefix !== 'images/') return { objects: first, ...rest };
      if (++pages === 1) {
        await cloneSnapshot(repository, { from: 'z', number: 1, to: 'a', writerId: randomId() });
        await repository.deleteSnapshot('z', 1);
      }
      const { objects: second } = await memory.list(prefix, options);
      return { objects: [...first.filter((one) => one.key < end), ...second.filter((one) => one.key >= end)], ...rest };
    };
    const report = await collectRepository(new StoredRepository(paged, repository.marker), { graceMs: HOUR });
    expect(report).toMatchObject({ living: { segments: 2 }, removed: { segments: 0 } });
    expect((await verifyRepository(repository)).damages).toEqual([]);
  });

  test('says how much lies dead in segments that live', async () => {
    await publish(
      repository,
      'disk',
      new Map([
        [0, 1],
        [1, 2],
        [2, 3],
      ]),
      3 * CHUNK,
    );
    await publish(repository, 'disk', new Map([[1, 0]]), 3 * CHUNK);
    expect((await collectRepository(repository)).living.deadBytes).toBe(0);
    await repository.deleteSnapshot('disk', 1);
    nowMs += 8 * DAY;
    // One chunk and its entry in the index; the first snapshot's tree stood in a segment of its own.
    expect((await collectRepository(repository)).living.deadBytes).toBe(CHUNK + 52);
  });

  test('changes nothing in a dry run, and says what it would do', async () => {
    const segment = await garbage();
    nowMs = Date.now() - 3 * HOUR;
    await collectRepository(repository, { graceMs: HOUR });
    await garbage();
    const before = await keysOf(memory);
    store.resetCounts();
    expect(await collectRepository(repository, { graceMs: HOUR, dryRun: true })).toMatchObject({
      dryRun: true,
      removed: { segments: 1 },
      condemned: { segments: 1 },
    });
    expect(store.counts).toMatchObject({ put: { requests: 0 }, delete: { requests: 0 } });
    expect(await keysOf(memory)).toEqual(before);
    expect(before).toContain(segmentKey(segment));
  });

  test('goes by the time of the store, not of the host', async () => {
    nowMs = 5 * DAY; // a store whose clock is decades behind
    await garbage();
    await collectRepository(repository, { graceMs: HOUR });
    expect(await collectRepository(repository, { graceMs: HOUR })).toMatchObject({ removed: { segments: 0 } });
    nowMs += HOUR;
    expect(await collectRepository(repository, { graceMs: HOUR })).toMatchObject({ removed: { segments: 1 } });
  });

  test('refuses a grace in which a commit might not come to its end', async () => {
    await expect(collectRepository(repository, { graceMs: HOUR - 1 })).rejects.toMatchObject({ code: 'USAGE' });
  });

  test.each([
    ['a record', () => snapshotKey('disk', 1)],
    ['a tombstone', () => tombstoneKey('other', 1)],
    ['a lock', () => writerKey('disk')],
    ['a list', () => condemnedKey('0'.repeat(32))],
    ['a tree', async () => segmentKey((await repository.readRecord('disk', 1)).root!.segment)],
  ])('changes nothing while %s can not be read', async (_, keyOf) => {
    await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await publish(repository, 'other', new Map([[0, 2]]), CHUNK);
    await repository.deleteSnapshot('other', 1);
    await garbage();
    await memory.put(await keyOf(), Buffer.from('{'));
    store.resetCounts();
    const { repository: another } = await initRepository(store);
    const before = await keysOf(memory);
    await expect(collectRepository(another)).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringMatching(/^Nothing is collected .*damaged/),
    });
    expect(await keysOf(memory)).toEqual(before);
  });

  test('takes a damaged tombstone for final when its grace is over', async () => {
    await memory.put(tombstoneKey('disk', 4), Buffer.from('{'));
    nowMs += DAY;
    expect(await collectRepository(repository, { graceMs: DAY })).toMatchObject({ finalisedTombstones: 1 });
    expect((await repository.listImage('disk')).nextNumber).toBe(5);
  });

  test('killed at any request, it leaves a repository that is whole, and the next one finishes', async () => {
    for (let step = 0, ended = ''; ended !== 'done'; step++) {
      await makeRepository();
      const kept = await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
      await publish(repository, 'dead', new Map([[0, 2]]), CHUNK);
      await repository.deleteSnapshot('dead', 1);
      nowMs += DAY;
      await collectRepository(repository, { graceMs: HOUR });
      await garbage();
      nowMs += DAY;
      store.inject({ kind: 'fail-before' }, { skip: step, times: Infinity });
      ended = await collectRepository(repository, { graceMs: HOUR }).then(
        () => 'done',
        () => 'killed',
      );
      store.clearFaults();
      expect((await verifyRepository(repository)).damages).toEqual([]);
      nowMs += DAY;
      await collectRepository(repository, { graceMs: HOUR });
      nowMs += DAY;
      await collectRepository(repository, { graceMs: HOUR });
      expect((await verifyRepository(repository)).unreferencedSegments).toBe(0);
      expect(await keysOf(memory, 'condemned/')).toEqual([]);
      expect(await readBack(repository, kept, [1])).toEqual(new Map([[0, 1]]));
    }
  });

  test('cleans up what a killed one left of asking for the time', async () => {
    await memory.put(clockKey(randomId()), Buffer.from('now'));
    await collectRepository(repository, { graceMs: HOUR });
    expect(await keysOf(memory, 'clock/')).toHaveLength(1);
    nowMs += HOUR;
    await collectRepository(repository, { graceMs: HOUR });
    expect(await keysOf(memory, 'clock/')).toEqual([]);
  });
});

// S53
describe('undeleting', () => {
  test('brings a snapshot back under its number while its tombstone holds it', async () => {
    const record = await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await repository.deleteSnapshot('disk', 1);
    nowMs += 7 * DAY - 1;
    await collectRepository(repository);
    expect(await repository.undeleteSnapshot('disk', 1)).toEqual(record);
    nowMs += 30 * DAY;
    await collectRepository(repository);
    const { repository: another } = await initRepository(store);
    expect(await another.readLivingRecord('disk', 1)).toEqual(record);
    expect(await readBack(another, record, [1])).toEqual(new Map([[0, 1]]));
    expect(await another.listImage('disk')).toMatchObject({ deleted: [], nextNumber: 2 });
  });

  test('may be repeated, and undone by another deletion, whose grace begins anew', async () => {
    await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await repository.deleteSnapshot('disk', 1);
    await repository.undeleteSnapshot('disk', 1);
    await repository.undeleteSnapshot('disk', 1);
    nowMs += 30 * DAY;
    await repository.deleteSnapshot('disk', 1);
    expect(await collectRepository(repository)).toMatchObject({ finalisedTombstones: 0 });
    await repository.undeleteSnapshot('disk', 1);
    expect((await repository.listImage('disk')).snapshots).toMatchObject([{ number: 1 }]);
  });

  test('is refused when a collection has found the grace over', async () => {
    await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await repository.deleteSnapshot('disk', 1);
    nowMs += 7 * DAY;
    await collectRepository(repository);
    await expect(repository.undeleteSnapshot('disk', 1)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('too long ago'),
    });
    await expect(repository.undeleteSnapshot('disk', 2)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('is refused when the name belongs to another image by now', async () => {
    await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await repository.deleteSnapshot('disk', 1);
    await publish(repository, 'disk', new Map([[0, 2]]), CHUNK);
    await expect(repository.undeleteSnapshot('disk', 1)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  test('while a collection finds the grace over keeps what was on a list already when it was published', async () => {
    const sizeBytes = CHUNK;
    const written = await writeTree(repository, new Map([[0, 1]]), { sizeBytes });
    await collectRepository(repository);
    const { root, allocatedBytes, requires } = written;
    const record = recordOf({ sizeBytes, root, allocatedBytes, requires });
    await repository.publishRecord('disk', record, undefined, { confirm: written.confirm });
    await repository.deleteSnapshot('disk', 1);
    nowMs += DEFAULT_GRACE_MS;
    store.inject({ kind: 'stall' }, { operation: 'put', key: tombstoneKey('disk', 1) });
    const collecting = collectRepository(repository);
    await store.until(() => store.stalledCalls === 1);
    await repository.undeleteSnapshot('disk', 1);
    store.releaseStalled();
    expect(await collecting).toMatchObject({ removed: { segments: 0 }, condemned: { segments: 2 } });
    expect(await readBack(repository, record, [1])).toEqual(new Map([[0, 1]]));
    nowMs += DEFAULT_GRACE_MS;
    expect(await collectRepository(repository)).toMatchObject({ removed: { segments: 0 }, living: { segments: 2 } });
    expect((await verifyRepository(repository)).damages).toEqual([]);
  });

  test('and deleting again while a collection finds the first grace over begins another one', async () => {
    const record = await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await repository.deleteSnapshot('disk', 1);
    nowMs += DEFAULT_GRACE_MS;
    store.inject({ kind: 'stall' }, { operation: 'get', key: tombstoneKey('disk', 1) });
    const collecting = collectRepository(repository);
    await store.until(() => store.stalledCalls === 1);
    nowMs += 1000;
    await repository.undeleteSnapshot('disk', 1);
    await repository.deleteSnapshot('disk', 1);
    store.releaseStalled();
    expect(await collecting).toMatchObject({ finalisedTombstones: 0 });
    expect(await repository.undeleteSnapshot('disk', 1)).toEqual(record);
  });

  test('of a record that was damaged when it was deleted is refused', async () => {
    await memory.put(snapshotKey('disk', 1), Buffer.from('{'));
    await repository.deleteSnapshot('disk', 1);
    await expect(repository.undeleteSnapshot('disk', 1)).rejects.toMatchObject({ code: 'DAMAGED' });
  });
});

describe('the plan', () => {
  test('puts each segment where it belongs', () => {
    const list = (key: string, sinceMs: number, ...named: string[]) => ({
      key,
      sinceMs,
      graceMs: 10,
      segments: new Set(named),
    });
    const plan = planCollection({
      nowMs: 100,
      graceMs: 10,
      lists: [list('old', 90, 'dead', 'revived', 'gone', 'again', 'parting'), list('new', 91, 'fresh', 'again')],
      segments: ['alive', 'dead', 'fresh', 'again', 'revived', 'unseen', 'parting'],
      isReached: (segment) => segment === 'alive' || segment === 'revived',
      isParting: (segment) => segment === 'parting' || segment === 'alive',
    });
    expect(plan).toEqual({
      keep: ['alive', 'revived'],
      remove: ['dead'],
      wait: ['fresh', 'again'],
      condemn: ['unseen', 'parting'],
      settled: ['old'],
    });
  });
});
