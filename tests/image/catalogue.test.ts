/** Images, heads, locks and commits of one or two hosts over one store, without a kernel. */
import { expect, test } from '@jest/globals';

import type { Disk } from '../../lib/image/api.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { CHUNK, codeOf, ImageWorld, shut, withImage } from '../helpers/image-world.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

async function firstByte(disk: Disk | undefined): Promise<number | undefined> {
  return (await disk!.read(0, 1))[0];
}

// S17
test('a second host may not write while the first holds the lock, and is told who does', async () => {
  const first = await ImageWorld.open(temporaryFolder('one'));
  await withImage(first, 1);
  const second = await ImageWorld.open(temporaryFolder('two'), { store: first.store, stateId: 'b'.repeat(32) });
  await first.openHead('disk');
  const head = (await (await second.catalogue.find('disk'))!.head())!;
  const refused: unknown = await head.openForWriting().catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 'LOCKED', facts: { lock: { stateId: 'a'.repeat(32) } } });
  expect(await firstByte(head)).toBe(1);
  await first.close();
  await second.close();
});

// S18
test('a clean head follows what another host has published, with another content id; an old one is stale', async () => {
  const first = await ImageWorld.open(temporaryFolder('one'));
  await withImage(first, 1);
  const second = await ImageWorld.open(temporaryFolder('two'), { store: first.store, stateId: 'b'.repeat(32) });
  const before = (await (await second.catalogue.find('disk'))!.head())!;
  const oldContent = before.contentId;
  const head = await first.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 2));
  await (await first.catalogue.find('disk'))!.commit({});
  shut(head);
  await first.close();
  expect(await codeOf(before.openForWriting())).toBe('STALE');
  const after = (await (await second.catalogue.find('disk'))!.head())!;
  expect(after.contentId).not.toBe(oldContent);
  expect(await firstByte(after)).toBe(2);
  await after.openForWriting();
  await second.close();
});

// S28
test('a commit of nothing makes no snapshot and sends no segment', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  await world.openHead('disk');
  world.store.resetCounts();
  const outcome = await (await world.catalogue.find('disk'))!.commit({});
  expect(outcome).toMatchObject({ changed: false, number: 1, uploadedBytes: 0 });
  expect(world.store.counts.put.requests).toBe(0);
  await world.close();
});

test('a commit uploads only chunks that changed, and a clone of it reads the same', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1, 16);
  const head = await world.openHead('disk');
  await head.write(5 * CHUNK + 4096, Buffer.alloc(4096, 7));
  const outcome = await (await world.catalogue.find('disk'))!.commit({ label: 'one block' });
  expect(outcome).toMatchObject({ changed: true, number: 2, dirtyBytes: CHUNK });
  expect(outcome.uploadedBytes).toBeLessThan(CHUNK + 16_384);
  await world.catalogue.clone('disk', 'copy', {});
  const copy = (await (await world.catalogue.find('copy'))!.head())!;
  expect(Buffer.compare(await copy.read(0, 16 * CHUNK), await head.read(0, 16 * CHUNK))).toBe(0);
  await world.close();
});

test('a host that has read a chunk uploads nothing when it is written at another place', async () => {
  const first = await ImageWorld.open(temporaryFolder('one'));
  await withImage(first, 1);
  const head = await first.openHead('disk');
  await head.write(CHUNK, Buffer.alloc(CHUNK, 2));
  await (await first.catalogue.find('disk'))!.commit({});
  shut(head);
  await first.close();
  const second = await ImageWorld.open(temporaryFolder('two'), { store: first.store, stateId: 'b'.repeat(32) });
  const copy = await second.openHead('disk');
  await copy.write(3 * CHUNK, await copy.read(CHUNK, CHUNK));
  second.store.resetCounts();
  const outcome = await (await second.catalogue.find('disk'))!.commit({});
  expect(outcome).toMatchObject({ changed: true, number: 3, dirtyBytes: CHUNK });
  expect(outcome.uploadedBytes).toBeLessThan(16_384);
  // The nodes that it has just written are not fetched to be read.
  const gets = second.store.calls.filter((call) => call.operation === 'get' && call.key.startsWith('segments/'));
  // The header of the chunk's segment: whether it is still there.
  expect(gets.map(({ range }) => range)).toEqual([{ offsetBytes: 0, lengthBytes: 32 }]);
  await second.close();
});

// S30
test('a record whose PUT was answered by nobody is adopted by the next start, and its layers are gone', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 9));
  const before = await world.repository.imageSummaries();
  world.store.inject({ kind: 'fail-after' }, { operation: 'put', key: /snapshots/ });
  // Nobody answers the question afterwards either.
  world.onCommitStep = (step) => {
    if (step === 'uploaded')
      world.store.inject({ kind: 'fail-before' }, { operation: 'get', key: /snapshots.00000002/, times: 9 });
  };
  await (await world.catalogue.find('disk'))!.commit({}).catch(() => undefined);
  world.store.clearFaults();
  // A start asks for the names before it looks at what is here: that answer knows nothing of the record.
  world.early = { summaries: Promise.resolve(before), askedMs: Date.now() };
  await world.crash();
  await world.catalogue.lookAhead();
  const image = (await world.catalogue.find('disk'))!;
  expect(await image.snapshots()).toEqual([1, 2]);
  const status = await image.status();
  expect(status).toMatchObject({ baseNumber: 2, dirtyBytes: 0, layers: 1 });
  expect(await firstByte(await image.head())).toBe(9);
  await world.close();
});

// S29
test('failed commits keep every write and never more than eight layers, and the next success takes all of them', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  const image = (await world.catalogue.find('disk'))!;
  world.store.inject({ kind: 'fail-before' }, { operation: 'put', key: /^segments/, times: Infinity });
  const codes: string[] = [];
  for (let attempt = 0; attempt < 9; attempt++) {
    await head.write(attempt * 8192, Buffer.alloc(4096, 100 + attempt));
    codes.push(await codeOf(image.commit({})));
  }
  expect(new Set(codes)).toEqual(new Set(['UNREACHABLE']));
  expect((await image.status()).layers).toBe(8);
  world.store.clearFaults();
  // What was frozen before the last writes becomes a snapshot of its own.
  expect(await image.commit({})).toMatchObject({ changed: true, number: 3 });
  expect(await image.status()).toMatchObject({ layers: 1, dirtyBytes: 0 });
  const committed = await image.snapshot(3);
  for (let attempt = 0; attempt < 9; attempt++) {
    expect((await head.read(attempt * 8192, 1))[0]).toBe(100 + attempt);
    expect((await committed.read(attempt * 8192, 1))[0]).toBe(100 + attempt);
  }
  await world.close();
});

// S29
test('a foreign snapshot in the way of a commit is a conflict in which nobody loses anything', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 5));
  // The lock was taken away by force, and another host has published on the same base.
  await world.repository.releaseLock('disk', undefined);
  const other = await ImageWorld.open(temporaryFolder('other'), { store: world.store, stateId: 'b'.repeat(32) });
  const theirs = await other.openHead('disk');
  await theirs.write(4096, Buffer.alloc(4096, 6));
  await (await other.catalogue.find('disk'))!.commit({});
  const image = (await world.catalogue.find('disk'))!;
  await expect(image.commit({})).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringContaining('--as NEW-IMAGE') as unknown,
  });
  expect(await firstByte(head)).toBe(5);
  expect(await firstByte(theirs)).toBe(1);
  // Saved under another name, and still here.
  expect(await image.commit({ as: 'saved', label: 'mine' })).toMatchObject({
    image: 'saved',
    number: 1,
    changed: true,
  });
  expect(await world.repository.readRecord('saved', 1)).toMatchObject({
    label: 'mine',
    parent: { image: 'disk', imageId: image.id, number: 1 },
  });
  const saved = (await other.catalogue.find('saved'))!;
  expect(await firstByte(await saved.head())).toBe(5);
  expect((await (await saved.snapshot(1)).read(4096, 1))[0]).toBe(1);
  expect(await image.status()).toMatchObject({ baseNumber: 1, dirtyBytes: 4096 });
  expect(await codeOf(image.commit({ as: 'saved' }))).toBe('EXISTS');
  expect(await codeOf(image.commit({ as: 'no/name' }))).toBe('USAGE');
  // Then the disk goes on from what the other host has published.
  shut(head);
  await image.revert(2);
  await other.close();
  const reverted = await world.openHead('disk');
  expect((await reverted.read(4096, 1))[0]).toBe(6);
  await reverted.write(0, Buffer.alloc(4096, 9));
  expect(await image.commit({})).toMatchObject({ number: 3 });
  await world.close();
});

// S51
test('commit --as takes no number that came and went during its upload', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 5));
  world.store.inject({ kind: 'stall' }, { operation: 'put', key: /^segments/ });
  const saving = (await world.catalogue.find('disk'))!.commit({ as: 'saved' });
  await world.store.until(() => world.store.stalledCalls === 1);
  const { repository } = world;
  const other = await cloneSnapshot(repository, { from: 'disk', number: 1, to: 'saved', writerId: 'b'.repeat(32) });
  await repository.deleteSnapshot('saved', other.number);
  world.store.releaseStalled();
  expect(await saving).toMatchObject({ image: 'saved', number: 2 });
  expect(await repository.listImage('saved')).toMatchObject({ snapshots: [{ number: 2 }], deleted: [1] });
  await world.close();
});

// S29
test('changes that no commit could publish for long are saved under another name all the same', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  const image = (await world.catalogue.find('disk'))!;
  world.store.inject({ kind: 'fail-before' }, { operation: 'put', key: /^segments/, times: Infinity });
  for (let attempt = 0; attempt < 9; attempt++) {
    await head.write(attempt * 8192, Buffer.alloc(4096, 100 + attempt));
    await codeOf(image.commit({}));
  }
  world.store.clearFaults();
  await head.write(0, Buffer.alloc(4096, 120));
  await image.commit({ as: 'saved' });
  const saved = await (await world.catalogue.find('saved'))!.snapshot(1);
  expect((await saved.read(0, 1))[0]).toBe(120);
  for (let attempt = 1; attempt < 9; attempt++) expect((await saved.read(attempt * 8192, 1))[0]).toBe(100 + attempt);
  await world.close();
});

// S30
test('closing during a commit cuts it off and keeps every write', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 8));
  world.store.inject({ kind: 'stall' }, { operation: 'put', key: /^segments/ });
  const commit = codeOf((await world.catalogue.find('disk'))!.commit({}));
  await world.store.until(() => world.store.stalledCalls > 0);
  await world.reopen();
  expect(await commit).toBe('ABORTED');
  const image = (await world.catalogue.find('disk'))!;
  expect(await firstByte(await image.head())).toBe(8);
  expect(await image.commit({})).toMatchObject({ changed: true, number: 2 });
  await world.close();
});

// S15
test('while the store is away, images with a head here are listed, read and written', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 3));
  await world.reopen();
  world.store.setOutage(true);
  expect(await world.catalogue.names()).toEqual(['disk']);
  const again = await world.openHead('disk');
  expect(await firstByte(again)).toBe(3);
  await again.write(0, Buffer.alloc(4096, 4));
  await again.fsync();
  expect(world.catalogue.health()).toBe('offline');
  world.store.setOutage(false);
  // Its own commit is seen at once, although the store was left alone a moment ago.
  const image = (await world.catalogue.find('disk'))!;
  expect(await image.commit({})).toMatchObject({ number: 2 });
  expect(await image.snapshots()).toEqual([1, 2]);
  await world.close();
});

// S115
test('a request that went unanswered makes the mount ask whether the store is there', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  world.store.setOutage(true);
  expect(world.catalogue.health()).toBe('ok');
  world.catalogue.doubtStore();
  await waitFor('it is found away', () => world.catalogue.health() === 'offline');
  world.store.setOutage(false);
  await world.catalogue.names();
  expect(world.catalogue.health()).toBe('ok');
  await world.close();
});

test('what a revert has thrown away is passed over when its record turns up', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 9));
  const image = (await world.catalogue.find('disk'))!;
  world.store.inject({ kind: 'fail-after' }, { operation: 'put', key: /snapshots/ });
  world.onCommitStep = (step) => {
    if (step === 'uploaded')
      world.store.inject({ kind: 'fail-before' }, { operation: 'get', key: /snapshots.00000002/, times: 9 });
  };
  await image.commit({}).catch(() => undefined);
  world.onCommitStep = () => undefined;
  world.store.setOutage(true);
  shut(head);
  await image.revert();
  world.store.clearFaults();
  const reverted = await world.openHead('disk');
  expect(await firstByte(reverted)).toBe(1);
  await reverted.write(4096, Buffer.alloc(4096, 2));
  const outcome = await image.commit({});
  expect(outcome.number).toBe(3);
  expect((await world.repository.readRecord('disk', 3)).parent?.number).toBe(1);
  expect(await firstByte(reverted)).toBe(1);
  await world.close();
});

// S33
test('a commit does not begin while a revert runs', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 9));
  shut(head);
  const image = (await world.catalogue.find('disk'))!;
  const outcomes = await Promise.all([codeOf(image.revert()), codeOf(image.commit({}))]);
  expect(outcomes).toContain('BUSY');
  expect(await firstByte(await image.head())).toBe(outcomes[0] === 'BUSY' ? 9 : 1);
  await world.close();
});

// S33
test('a second revert does not begin while one runs, so its end lets no commit into the other', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(4096, 9));
  shut(head);
  const image = (await world.catalogue.find('disk'))!;
  const outcomes = await Promise.all([codeOf(image.revert()), codeOf(image.revert())]);
  expect(outcomes).toEqual(['undefined', 'BUSY']);
  expect(await firstByte(await image.head())).toBe(1);
  await world.close();
});

test('after a look ahead, the first lookup of an image and its head asks the store for nothing', async () => {
  const maker = await ImageWorld.open(temporaryFolder('maker'));
  await withImage(maker, 1);
  await maker.close();
  const world = await ImageWorld.open(temporaryFolder('fresh'), { store: maker.store, stateId: 'b'.repeat(32) });
  await world.catalogue.lookAhead();
  maker.store.resetCounts();
  const head = await (await world.catalogue.find('disk'))!.head();
  expect(head?.sizeBytes()).toBe(4 * CHUNK);
  expect(maker.store.calls).toEqual([]);
  await world.close();
});

test('an open for writing is two requests, the lock and the listing that follows it', async () => {
  const maker = await ImageWorld.open(temporaryFolder('maker'));
  await withImage(maker, 1);
  await maker.close();
  const world = await ImageWorld.open(temporaryFolder('fresh'), { store: maker.store, stateId: 'b'.repeat(32) });
  const head = await (await world.catalogue.find('disk'))!.head();
  maker.store.resetCounts();
  await head!.openForWriting();
  expect(maker.store.calls.filter(({ key }) => key !== 'lazydisk.json').map(({ operation }) => operation)).toEqual([
    'put',
    'list',
  ]);
  await world.close();
});

test('a look ahead in a repository of many images reads no record', async () => {
  const world = await ImageWorld.open(temporaryFolder('many'));
  await withImage(world, 1);
  for (let clone = 0; clone < 16; clone++) await world.catalogue.clone('disk', `clone-${String(clone)}`, {});
  await world.close();
  const fresh = await ImageWorld.open(temporaryFolder('fresh'), { store: world.store, stateId: 'b'.repeat(32) });
  world.store.resetCounts();
  await fresh.catalogue.lookAhead();
  expect(world.store.calls.map(({ operation }) => operation)).toEqual(['list']);
  await fresh.close();
});

test('a clone in a mount that has looked ahead is two round trips: what must be known at once, and the put', async () => {
  const maker = await ImageWorld.open(temporaryFolder('maker'));
  await withImage(maker, 1);
  const world = await ImageWorld.open(temporaryFolder('world'), { store: maker.store, stateId: 'b'.repeat(32) });
  const { store } = world;
  await world.repository.assertExclusivePuts();
  await world.catalogue.lookAhead();
  store.resetCounts();
  store.inject({ kind: 'stall' }, { times: Number.POSITIVE_INFINITY });
  const cloned = world.catalogue.clone('disk', 'copy', {});
  // Nothing is answered, so what is asked now waits for nothing else; the lock of the source is not asked for.
  await store.until(() => store.stalledCalls === 2);
  store.releaseStalled();
  await store.until(() => store.stalledCalls === 1);
  store.clearFaults();
  store.releaseStalled();
  await cloned;
  expect(store.calls.map(({ operation, key }) => `${operation} ${key}`)).toEqual([
    'get images/disk/snapshots/00000001.json',
    'list images/copy/',
    'put images/copy/snapshots/00000001.json',
  ]);
  await world.close();
  await maker.close();
});

test('a commit of a chunk asks for nine things: listing, two segments, three questions at once, the record, and its lock', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1);
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(CHUNK, 2));
  world.store.resetCounts();
  await (await world.catalogue.find('disk'))!.commit({});
  const calls = world.store.calls.map(({ operation, key }) => `${operation} ${key.replace(/[0-9a-f]{32}/, 'ID')}`);
  expect(calls).toEqual([
    // Whose the newest snapshot is.
    'list images/disk/',
    'put segments/ID',
    'put segments/ID',
    'list condemned/',
    'get images/disk/snapshots/00000001.json',
    'list images/disk/',
    'put images/disk/snapshots/00000002.json',
    'get images/disk/writer.json',
    'put images/disk/writer.json',
  ]);
  await world.close();
});

test('what is held of the images is told without a request', async () => {
  const world = await ImageWorld.open(temporaryFolder('world'));
  await withImage(world, 1, 16);
  await world.catalogue.clone('disk', 'untouched', {});
  await (await world.catalogue.find('untouched'))!.head();
  const head = await world.openHead('disk');
  await head.write(0, Buffer.alloc(8192, 7));
  await world.catalogue.clone('untouched', 'local', { local: true });
  world.store.resetCounts();
  const [disk, local, ...others] = world.catalogue.held();
  expect(others.map(({ name }) => name)).toEqual([]);
  expect([disk?.name, disk?.usage()]).toMatchObject(['disk', { dirtyBytes: 8192, openCount: 1, layers: 1 }]);
  expect([local?.name, local?.usage()]).toMatchObject([
    'local',
    { dirtyBytes: 0, openCount: 0, sizeBytes: 16 * CHUNK },
  ]);
  const { get, list } = world.store.counts;
  expect([get.requests, list.requests]).toEqual([0, 0]);
  expect(await (await world.catalogue.find('disk'))!.status()).toMatchObject({ ...disk!.usage() });
  await world.close();
});
