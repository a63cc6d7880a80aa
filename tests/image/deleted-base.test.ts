import { afterEach, expect, jest, test } from '@jest/globals';
import { encodeCondemnedList, MIN_GRACE_MS } from '../../lib/format/condemned-list.js';
import { condemnedKey, segmentKey, snapshotKey } from '../../lib/format/keys.js';
import { encodeSnapshotRecord } from '../../lib/format/snapshot-record.js';
import { openRepository } from '../../lib/repository/repository.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, codeOf, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

afterEach(() => {
  jest.restoreAllMocks();
});

// S17
test('a clean head whose base was deleted is not opened for writing, until it is reverted or the base is back', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNK, 2));
  const image = (await world.catalogue.find('disk'))!;
  await image.commit({});
  shut(head);
  await world.catalogue.unlock('disk');
  await world.repository.deleteSnapshot('disk', 2);
  expect(await codeOf(world.openHead('disk'))).toBe('CONFLICT');
  expect(await world.repository.readLock('disk')).toBeNull();

  await world.repository.undeleteSnapshot('disk', 2);
  shut(await world.openHead('disk'));
  await world.catalogue.unlock('disk');
  await world.repository.deleteSnapshot('disk', 2);
  await image.revert(1);
  const reverted = await world.openHead('disk');
  expect(await reverted.read(0, 1)).toEqual(Buffer.from([1]));
  await world.close();
});

/** As if so much time had gone by since. */
function skip(ms: number): void {
  const now = Date.now;
  jest.spyOn(Date, 'now').mockImplementation(() => now() + ms);
}

// S55
test('a commit that took so long that collections removed what it had uploaded uploads it again', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const before = new Set((await world.store.list('segments/')).objects.map(({ key }) => key));
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNK, 2));
  let uploads = 0;
  const removed: Promise<void>[] = [];
  world.onCommitStep = (step) => {
    if (step !== 'uploaded' || ++uploads > 1) return;
    skip(MIN_GRACE_MS);
    // What is asked of the store in this turn comes first.
    removed.push(
      world.store.list('segments/').then(async ({ objects }) => {
        for (const { key } of objects) if (!before.has(key)) await world.store.delete(key);
      }),
    );
    world.store.inject({ kind: 'stall' }, { operation: 'list', key: 'condemned/' });
  };
  const committing = (await world.catalogue.find('disk'))!.commit({});
  await world.store.until(() => world.store.stalledCalls > 0);
  await Promise.all(removed);
  jest.restoreAllMocks();
  skip(MIN_GRACE_MS);
  world.store.releaseStalled();
  expect(await committing).toMatchObject({ changed: true, number: 2 });
  expect(uploads).toBe(2);
  expect((await verifyRepository(world.repository)).damages).toEqual([]);
  await world.close();
});

// S55
test('a commit of a chunk whose remembered place is condemned uploads it again', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const record = await world.repository.readRecord('disk', 1);
  const entry = await world.repository.trees().entry(record, 0);
  const key = condemnedKey('c'.repeat(32));
  const list = { formatVersion: 1, requires: [], graceMs: MIN_GRACE_MS, segments: [entry!.segment] } as const;
  await world.store.put(key, encodeCondemnedList(list, key));
  await (await world.catalogue.create('other')).createHead();
  const head = await world.openHead('other');
  await head.write(0, Buffer.alloc(CHUNK, 1));
  await (await world.catalogue.find('other'))!.commit({});
  const other = await world.repository.readRecord('other', 1);
  const own = await world.repository.trees().entry(other, 0);
  expect(own!.id).toBe(entry!.id);
  expect(segmentKey(own!.segment)).not.toBe(segmentKey(entry!.segment));
  await world.close();
});

// S29
test('a commit over a base whose record is damaged saves what was written, and is whole', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(CHUNK, Buffer.alloc(CHUNK, 2));
  await world.store.put(snapshotKey('disk', 1), Buffer.from('garbage'));
  expect(await (await world.catalogue.find('disk'))!.commit({})).toMatchObject({ number: 2 });
  const { damages } = await verifyRepository(await openRepository(world.store));
  expect(damages).toMatchObject([{ object: snapshotKey('disk', 1) }]);
  expect(await head.read(0, 1)).toEqual(Buffer.from([1]));
  await world.close();
});

// S29
test.each(['commit', 'commit --as'])(
  'in a store that was put back to an earlier state, %s does not take a foreign snapshot of the same number for its base',
  async (how) => {
    const world = await ImageWorld.open(temporaryFolder('world'));
    await withImage(world, 1);
    const head = await world.openHead('disk');
    const image = (await world.catalogue.find('disk'))!;
    await head.write(0, Buffer.alloc(CHUNK, 2));
    await image.commit({});
    await head.write(CHUNK, Buffer.alloc(CHUNK, 3));
    const ours = await world.repository.readLivingRecord('disk', 2);
    const foreign = { ...ours, commitId: 'f'.repeat(32), writerId: 'b'.repeat(32) };
    await world.store.put(snapshotKey('disk', 2), encodeSnapshotRecord(foreign, 'disk@2'));
    const outcome = image.commit(how === 'commit' ? {} : { as: 'saved' });
    await expect(outcome).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('disk@2 in the store is another snapshot') as unknown,
    });
    expect(await image.status()).toMatchObject({ dirtyBytes: CHUNK });
    expect((await world.repository.summarizeImage('disk')).nextNumber).toBe(3);
    expect((await world.repository.summarizeImage('saved')).snapshots).toEqual([]);
    await world.store.put(snapshotKey('disk', 2), encodeSnapshotRecord(ours, 'disk@2'));
    expect(await image.commit({})).toMatchObject({ number: 3 });
    await world.close();
  },
);
