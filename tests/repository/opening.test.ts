import { describe, expect, test } from '@jest/globals';
import { decodeMarker } from '../../lib/format/marker.js';
import { initRepository, openRepository } from '../../lib/repository/repository.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { CallOptions, ObjectStore } from '../../lib/store/object-store.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { keysOf, recordOf, lockOf } from './worlds.js';

/** A store as some servers are: it takes every PUT. */
class CarelessStore extends MemoryStore implements ObjectStore {
  override put(key: string, bytes: Uint8Array, options: CallOptions = {}): Promise<void> {
    return super.put(key, bytes, { signal: options.signal });
  }
}

describe('init', () => {
  test('makes a repository that can be opened', async () => {
    const store = new MemoryStore();
    const { repository, created } = await initRepository(store, { chunkSizeBytes: 65536 });
    expect(created).toBe(true);
    const opened = await openRepository(store);
    expect(opened.id).toBe(repository.id);
    expect(opened.defaultChunkSizeBytes).toBe(65536);
  });

  test('finds a repository that is there and leaves it as it is', async () => {
    const store = new MemoryStore();
    const first = await initRepository(store, { chunkSizeBytes: 65536 });
    const bytes = await store.get('lazydisk.json');
    for (const options of [{}, { chunkSizeBytes: 65536 }]) {
      const again = await initRepository(store, options);
      expect(again.created).toBe(false);
      expect(again.repository.id).toBe(first.repository.id);
    }
    expect(await store.get('lazydisk.json')).toEqual(bytes);
  });

  test('with another chunk size than the one that is there is a conflict', async () => {
    const store = new MemoryStore();
    await initRepository(store);
    await expect(initRepository(store, { chunkSizeBytes: 65536 })).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  test.each([0, 1000, 100_000, 2 ** 23, 2.5])('refuses a chunk size of %p', async (chunkSizeBytes) => {
    await expect(initRepository(new MemoryStore(), { chunkSizeBytes })).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('raced by many makes one repository, and all see the same', async () => {
    const store = new MemoryStore();
    const all = await Promise.all(Array.from({ length: 8 }, () => initRepository(store)));
    expect(new Set(all.map(({ repository }) => repository.id)).size).toBe(1);
    expect(all.filter(({ created }) => created)).toHaveLength(1);
  });

  test('counts its own put that succeeded unseen as its own', async () => {
    const store = new FaultyStore(new MemoryStore());
    store.inject({ kind: 'fail-after' }, { operation: 'put' });
    await expect(initRepository(store)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(initRepository(store)).resolves.toMatchObject({ created: false });
  });

  test('refuses a store that ignores If-None-Match and leaves nothing in it', async () => {
    const store = new CarelessStore();
    await expect(initRepository(store)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    expect(await keysOf(store)).toEqual([]);
  });
});

describe('opening', () => {
  test('something that is no repository says how to make one', async () => {
    await expect(openRepository(new MemoryStore('file:///somewhere'))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('lazydisk init file:///somewhere'),
    });
  });

  test('with a kept marker makes no request', async () => {
    const store = new FaultyStore(new MemoryStore());
    const { repository } = await initRepository(store);
    store.setOutage(true);
    store.resetCounts();
    const opened = await openRepository(store, { marker: repository.marker });
    expect(opened.id).toBe(repository.id);
    expect(store.requests).toBe(0);
  });

  test('a damaged marker says so', async () => {
    const store = new MemoryStore();
    await store.put('lazydisk.json', Buffer.from('{"formatVersion":1}'));
    await expect(openRepository(store)).rejects.toMatchObject({ code: 'DAMAGED' });
  });
});

describe('the probe for If-None-Match', () => {
  test('is made once, before the first record or lock', async () => {
    const store = new FaultyStore(new MemoryStore());
    await initRepository(store);
    const repository = await openRepository(store);
    store.resetCounts();
    await repository.publishRecord('vm', recordOf());
    await repository.publishRecord('vm', recordOf({ number: 2 }));
    await repository.takeLock('vm', lockOf());
    expect(store.calls.filter(({ operation, key }) => operation === 'put' && key === 'lazydisk.json')).toHaveLength(1);
  });

  test('is made once for writers that come at once, with the marker that was just read', async () => {
    const store = new FaultyStore(new MemoryStore());
    await initRepository(store);
    const repository = (await openRepository(store)).through(store);
    store.resetCounts();
    await Promise.all([repository.assertExclusivePuts(), repository.assertExclusivePuts()]);
    await repository.assertExclusivePuts();
    expect(store.calls.map(({ operation, key }) => [operation, key])).toEqual([['put', 'lazydisk.json']]);
  });

  test('that failed is made again, with the marker as it is then', async () => {
    const store = new FaultyStore(new MemoryStore());
    await initRepository(store);
    const repository = await openRepository(store);
    store.inject({ kind: 'fail-before' }, { operation: 'put' });
    await expect(repository.assertExclusivePuts()).rejects.toMatchObject({ code: 'UNREACHABLE' });
    store.resetCounts();
    await repository.assertExclusivePuts();
    expect(store.calls.map(({ operation, key }) => [operation, key])).toEqual([
      ['get', 'lazydisk.json'],
      ['put', 'lazydisk.json'],
    ]);
  });

  test('refuses to write to a store that has begun to ignore it', async () => {
    const good = new MemoryStore();
    await initRepository(good);
    const bytes = await good.get('lazydisk.json');
    const careless = new CarelessStore();
    await careless.put('lazydisk.json', bytes);
    const repository = await openRepository(careless);
    await expect(repository.publishRecord('vm', recordOf())).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    await expect(repository.takeLock('vm', lockOf())).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    expect(await keysOf(careless)).toEqual(['lazydisk.json']);
    expect(await careless.get('lazydisk.json')).toEqual(bytes);
  });

  test('refuses to write when another repository has taken the place', async () => {
    const store = new MemoryStore();
    const { repository } = await initRepository(store);
    const other = await initRepository(new MemoryStore());
    await store.put('lazydisk.json', Buffer.from(JSON.stringify(other.repository.marker)));
    const late = await openRepository(store, { marker: repository.marker });
    await expect(late.publishRecord('vm', recordOf())).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(decodeMarker(await store.get('lazydisk.json')).repositoryId).toBe(other.repository.id);
  });
});
