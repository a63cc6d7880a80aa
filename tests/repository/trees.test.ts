import { describe, expect, test } from '@jest/globals';
import type { NodeId } from '../../lib/format/references.js';
import type { NodeCache } from '../../lib/repository/api.js';
import { chunkSource } from '../../lib/repository/chunk-source.js';
import { CHUNK, chunkOf, createWorld, publish } from './worlds.js';

class MapCache implements NodeCache {
  readonly nodes = new Map<NodeId, Buffer>();

  get(id: NodeId): Promise<Buffer | undefined> {
    return Promise.resolve(this.nodes.get(id));
  }

  put(id: NodeId, encoded: Uint8Array): Promise<void> {
    this.nodes.set(id, Buffer.from(encoded));
    return Promise.resolve();
  }
}

async function worldWithTree() {
  const world = await createWorld();
  const record = await publish(
    world.repository,
    'vm',
    new Map([
      [0, 1],
      [300, 2],
      [301, 3],
    ]),
    1000 * CHUNK,
  );
  world.store.resetCounts();
  return { ...world, record };
}

describe('a tree reader', () => {
  test('fetches a node once however many wait, and keeps it', async () => {
    const { repository, store, record } = await worldWithTree();
    const trees = repository.trees();
    await Promise.all(Array.from({ length: 20 }, () => trees.entry(record, 300)));
    await trees.entry(record, 301);
    expect(store.counts.get.requests).toBe(2); // root and leaf
  });

  test('asks the store for nothing that the lent cache has', async () => {
    const { repository, store, record } = await worldWithTree();
    const cache = new MapCache();
    const expected = await repository.trees(cache).entry(record, 300);
    store.setOutage(true);
    expect(await repository.trees(cache).entry(record, 300)).toEqual(expected);
  });

  test('does not believe the lent cache', async () => {
    const { repository, record } = await worldWithTree();
    const cache = new MapCache();
    const expected = await repository.trees(cache).entry(record, 300);
    for (const bytes of cache.nodes.values()) bytes[20]! ^= 1;
    expect(await repository.trees(cache).entry(record, 300)).toEqual(expected);
  });

  test('works when the lent cache fails', async () => {
    const { repository, record } = await worldWithTree();
    const failing: NodeCache = { get: () => Promise.reject(new Error('x')), put: () => Promise.reject(new Error('x')) };
    expect(await repository.trees(failing).entry(record, 300)).not.toBeNull();
  });

  test('fetches wrong bytes again once', async () => {
    const { repository, store, record } = await worldWithTree();
    store.inject({ kind: 'flip-bit', bit: 99 }, { operation: 'get' });
    expect(await repository.trees().entry(record, 300)).not.toBeNull();
    expect(store.counts.get.requests).toBe(3);
  });

  test('gives up wrong bytes the second time, names the segment, and keeps nothing bad', async () => {
    const { repository, store, record } = await worldWithTree();
    const cache = new MapCache();
    const trees = repository.trees(cache);
    store.inject({ kind: 'flip-bit', bit: 99 }, { operation: 'get', times: 2 });
    await expect(trees.entry(record, 300)).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringContaining(`segments/${record.root!.segment}`),
    });
    expect(cache.nodes.size).toBe(0);
    expect(await trees.entry(record, 300)).not.toBeNull();
  });

  test('treats a missing segment as damage', async () => {
    const { repository, store, record } = await worldWithTree();
    await store.delete(`segments/${record.root!.segment}`);
    await expect(repository.trees().entry(record, 0)).rejects.toMatchObject({ code: 'DAMAGED' });
  });

  test('passes on that the store is away, and recovers', async () => {
    const { repository, store, record } = await worldWithTree();
    const trees = repository.trees();
    store.setOutage(true);
    await expect(trees.entry(record, 0)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    store.setOutage(false);
    expect(await trees.entry(record, 0)).not.toBeNull();
  });

  test('lets one caller go away without harm to the others', async () => {
    const { repository, store, record } = await worldWithTree();
    const trees = repository.trees();
    const controller = new AbortController();
    store.inject({ kind: 'stall' }, { operation: 'get' });
    const gone = trees.entry(record, 300, controller.signal);
    const stays = trees.entry(record, 300);
    await store.until(() => store.stalledCalls === 1);
    controller.abort();
    await expect(gone).rejects.toMatchObject({ code: 'ABORTED' });
    store.releaseStalled();
    expect(await stays).not.toBeNull();
    expect(store.counts.get.requests).toBe(2);
  });

  test('ends the fetch when nobody waits any more', async () => {
    const { repository, store, record } = await worldWithTree();
    const controller = new AbortController();
    store.inject({ kind: 'stall' }, { operation: 'get' });
    const gone = repository.trees().entry(record, 300, controller.signal);
    await store.until(() => store.stalledCalls === 1);
    controller.abort();
    await expect(gone).rejects.toMatchObject({ code: 'ABORTED' });
    await store.until(() => store.stalledCalls === 0);
  });

  test('finds a tree that is lower than its record says damaged', async () => {
    const { repository, record } = await worldWithTree();
    await expect(repository.trees().entry({ ...record, sizeBytes: 100_000 * CHUNK }, 5)).rejects.toMatchObject({
      code: 'DAMAGED',
    });
  });

  test('finds chunks of another size damaged', async () => {
    const { repository, record } = await worldWithTree();
    await expect(
      repository.trees().entry({ ...record, chunkSizeBytes: 2 * CHUNK, sizeBytes: 2 * record.sizeBytes }, 5),
    ).rejects.toMatchObject({ code: 'DAMAGED' });
  });

  test('loads nothing of what is zero', async () => {
    const { repository, store, record } = await worldWithTree();
    const trees = repository.trees();
    expect(await trees.entry({ ...record, root: null }, 5)).toBeNull();
    expect(store.requests).toBe(0);
    expect(await trees.leaf(record, 600)).toHaveLength(256);
    expect(store.requests).toBe(1); // the root
  });

  test('walks from any chunk on', async () => {
    const { repository, record } = await worldWithTree();
    const found: number[] = [];
    for await (const [chunk] of repository.trees().chunks(record, 1)) found.push(chunk);
    expect(found).toEqual([300, 301]);
  });
});

test('a chunk source reads exactly the bytes of a chunk with one ranged get', async () => {
  const { repository, store, record } = await worldWithTree();
  const { segment, offsetBytes, storedBytes } = (await repository.trees().entry(record, 300))!;
  store.resetCounts();
  const source = chunkSource(repository);
  const bytes = await source.read({ segment, offsetBytes, lengthBytes: storedBytes }, new AbortController().signal);
  expect(bytes.equals(chunkOf(2))).toBe(true);
  expect(store.counts.get).toEqual({ requests: 1, bytes: CHUNK });
});
