import { expect, test } from '@jest/globals';
import { Listings } from '../../lib/image/listings.js';
import { moveTag } from '../../lib/repository/tags.js';
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
