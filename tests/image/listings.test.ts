import { expect, test } from '@jest/globals';
import { Listings, type EarlyNames } from '../../lib/image/listings.js';
import { moveTag } from '../../lib/repository/tags.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { silentLog } from '../../lib/util/log.js';
import { MemoryDatabase } from '../helpers/memory-database.js';
import { createWorld, lockOf, recordOf } from '../repository/worlds.js';

const SECOND_MS = 1000;

async function threeImages() {
  const world = await createWorld();
  for (const image of ['a', 'b', 'c']) await world.repository.publishRecord(image, recordOf());
  await world.repository.takeLock('b', lockOf());
  let nowMs = 0;
  const database = new MemoryDatabase();
  const listings = new Listings({ repository: world.repository, database, log: silentLog, now: () => nowMs });
  world.store.resetCounts();
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { ...world, listings, database, pass };
}

test('who lists the names and then looks at each image asks for one listing, and for the locks that there are', async () => {
  const { store, listings } = await threeImages();
  const names = await listings.names();
  const found = [];
  for (const name of names) found.push(await listings.listing(name));
  expect(found.map(({ image, writer, nextNumber }) => [image, writer !== null, nextNumber])).toEqual([
    ['a', false, 2],
    ['b', true, 2],
    ['c', false, 2],
  ]);
  expect(store.calls.map(({ operation, key }) => `${operation} ${key}`)).toEqual([
    'list images/',
    'get images/b/writer.json',
  ]);
});

test('a look says whether the store answers, and the log has a line for an outage and one for its end', async () => {
  const { repository, store, database } = await threeImages();
  const lines: unknown[] = [];
  const note = (message: string, facts?: Readonly<Record<string, unknown>>): void => void lines.push([message, facts]);
  let nowMs = 5000;
  const log = { ...silentLog, warn: note, info: note };
  const listings = new Listings({ repository, database, log, now: () => nowMs });
  const { signal } = new AbortController();
  store.setOutage(true);
  for (let looks = 0; looks < 3; looks++) await listings.look(signal);
  expect(listings.isOffline()).toBe(true);
  expect(lines).toEqual([['The store does not answer; what is local goes on.', { error: expect.any(String) }]]);
  store.setOutage(false);
  store.resetCounts();
  nowMs += 7 * SECOND_MS;
  for (let looks = 0; looks < 3; looks++) await listings.look(signal);
  expect(listings.isOffline()).toBe(false);
  expect(lines.slice(1)).toEqual([['The store answers again.', { awayMs: 7 * SECOND_MS }]]);
  expect(store.calls.map(({ operation, key }) => `${operation} ${key}`)).toEqual(Array(3).fill('list images/'));
});

test('a look that is cut off by the end of the mount says nothing', async () => {
  const { listings, store } = await threeImages();
  store.inject({ kind: 'stall' });
  const closing = new AbortController();
  const looking = listings.look(closing.signal);
  closing.abort();
  await looking;
  expect(listings.isOffline()).toBe(false);
});

async function withEarlyNames(early: EarlyNames, nowMs: number) {
  const world = await createWorld();
  await world.repository.publishRecord('a', recordOf());
  world.store.resetCounts();
  const { repository, store } = world;
  const parts = { repository, database: new MemoryDatabase(), early, log: silentLog, now: () => nowMs };
  return { store, listings: new Listings(parts) };
}

test('names that were asked for before are the first answer, as old as they are', async () => {
  const summary = { image: 'early', snapshots: [], deleted: [], tags: [], hasLock: false, nextNumber: 1 };
  const early = { summaries: Promise.resolve([summary]), askedMs: 0 };
  const { store, listings } = await withEarlyNames(early, SECOND_MS - 1);
  expect(await listings.names()).toEqual(['early']);
  expect(store.calls).toEqual([]);
  listings.invalidate();
  expect(await listings.names()).toEqual(['a']);
});

test('names that were asked for more than a second ago are asked for anew, and so are those before a change of ours', async () => {
  const early = { summaries: Promise.resolve([]), askedMs: 0 };
  const late = await withEarlyNames(early, SECOND_MS);
  expect(await late.listings.names()).toEqual(['a']);
  const changed = await withEarlyNames(early, 0);
  changed.listings.invalidate();
  expect(await changed.listings.names()).toEqual(['a']);
});

test('names that were asked for in vain fail the first question, and the next one asks', async () => {
  const summaries = Promise.reject(new LazydiskError('UNREACHABLE', 'away'));
  const { listings } = await withEarlyNames({ summaries, askedMs: 0 }, 0);
  await expect(listings.names()).rejects.toMatchObject({ code: 'UNREACHABLE' });
  expect(await listings.names()).toEqual(['a']);
});

test('a record that two ask for at once is read once', async () => {
  const { repository, store, database } = await threeImages();
  // Opened anew: the one that has published a record remembers it.
  const listings = new Listings({ repository: repository.through(store), database, log: silentLog, now: () => 0 });
  const records = await Promise.all([listings.record('a', 1), listings.record('a', 1)]);
  expect(records.map(({ number }) => number)).toEqual([1, 1]);
  expect(store.calls.map(({ operation, key }) => `${operation} ${key}`)).toEqual([
    'get images/a/snapshots/00000001.json',
  ]);
});

test('what the names told of an image gets no older than a second', async () => {
  const { repository, store, listings, pass } = await threeImages();
  await listings.names();
  await repository.publishRecord('a', recordOf({ number: 2 }));
  pass(SECOND_MS - 1);
  expect((await listings.listing('a')).nextNumber).toBe(2);
  pass(1);
  store.resetCounts();
  expect((await listings.listing('a')).nextNumber).toBe(3);
  expect(store.calls.map(({ operation, key }) => `${operation} ${key}`)).toEqual(['list images/a/']);
});

// S4
test('a clock that is set back makes nothing young: what others publish is seen all the same', async () => {
  const { repository, store, listings, pass } = await threeImages();
  await listings.names();
  await listings.listing('a');
  await repository.publishRecord('a', recordOf({ number: 2 }));
  pass(-3600 * SECOND_MS);
  expect((await listings.listing('a')).nextNumber).toBe(3);
  store.setOutage(true);
  pass(SECOND_MS);
  expect((await listings.listing('a')).nextNumber).toBe(3);
  store.setOutage(false);
  await repository.publishRecord('a', recordOf({ number: 3 }));
  pass(-3600 * SECOND_MS);
  expect((await listings.listing('a')).nextNumber).toBe(4);
});

test('what we have changed ourselves is asked for anew', async () => {
  const { repository, listings } = await threeImages();
  await listings.names();
  await repository.publishRecord('a', recordOf({ number: 2 }));
  listings.invalidate();
  expect((await listings.listing('a')).nextNumber).toBe(3);
});

// S59
test('where a tag leads is as old as a second, or asked for now; while the store is away it is what was said last', async () => {
  const { repository, store, listings, pass } = await threeImages();
  await repository.publishRecord('a', recordOf({ number: 2 }));
  await moveTag(repository, 'a', 'stable', 1);
  expect(await listings.tag('a', 'stable', 'recent')).toBe(1);
  await moveTag(repository, 'a', 'stable', 2);
  pass(SECOND_MS - 1);
  expect(await listings.tag('a', 'stable', 'recent')).toBe(1);
  expect(await listings.tag('a', 'stable', 'now')).toBe(2);
  pass(SECOND_MS);
  store.setOutage(true);
  expect(await listings.tag('a', 'stable', 'now')).toBe(2);
  await expect(listings.tag('a', 'other', 'now')).rejects.toMatchObject({ code: 'UNREACHABLE' });
  store.setOutage(false);
  expect(await listings.tag('a', 'other', 'now')).toBeNull();
});

test('a listing that was kept before there were tags names none', async () => {
  const { store, listings, database } = await threeImages();
  await database.put('image/a', Buffer.from('{"image":"a","snapshots":[],"deleted":[],"writer":null,"nextNumber":2}'));
  store.setOutage(true);
  expect(await listings.listing('a')).toMatchObject({ nextNumber: 2, tags: [] });
});

// S29
test('an answer that comes after a change of our own, to what was asked before it, is not taken for what is there', async () => {
  const { repository, store, listings, database } = await threeImages();
  const list = store.list.bind(store);
  let arrive = (): void => undefined;
  const underWay = new Promise<void>((resolve) => (arrive = resolve));
  store.list = async (...options) => {
    const answer = await list(...options);
    await underWay;
    return answer;
  };
  const asked = [listings.names(), listings.listing('a')] as const;
  await store.until(() => store.counts.list.requests === 2);
  await repository.publishRecord('a', recordOf({ number: 2 }));
  listings.invalidate();
  arrive();
  await Promise.all(asked);
  expect(await database.get('image/a')).toBeUndefined();
  expect((await listings.snapshots('a')).map(({ number }) => number)).toEqual([1, 2]);
});

// S15
test('while the store is away, what it said last is known, and what this host has published since', async () => {
  const { store, listings, pass } = await threeImages();
  const { nextNumber, ...rest } = await listings.listing('a');
  const own = { ...rest, snapshots: [{ number: 2, publishedMs: 0 }], nextNumber: 3 };
  listings.invalidate();
  store.setOutage(true);
  const numbersOf = async (fallback = own): Promise<number[]> => {
    pass(5 * SECOND_MS);
    return (await listings.snapshots('a', undefined, fallback)).map(({ number }) => number);
  };
  expect(nextNumber).toBe(2);
  expect(await numbersOf()).toEqual([1, 2]);
  // A head on what the store knew then says nothing new: what is older was deleted, or is another host's to tell.
  expect(await numbersOf({ ...own, snapshots: [{ number: 1, publishedMs: 0 }] })).toEqual([1]);
});
