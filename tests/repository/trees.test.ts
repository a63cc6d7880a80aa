import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { NodeId, NodeReference } from '../../lib/format/references.js';
import type { SnapshotRecord } from '../../lib/format/snapshot-record.js';
import { MAX_GROUP_BYTES, NodeGroups, planGroup } from '../../lib/repository/node-groups.js';
import type { NodeCache, TreeReader } from '../../lib/repository/api.js';
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
    expect(store.counts.get.requests).toBe(1); // the root, and the leaf with it
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
    store.inject({ kind: 'flip-bit', bit: record.root!.offsetBytes * 8 + 99 }, { operation: 'get' });
    expect(await repository.trees().entry(record, 300)).not.toBeNull();
    // The root with its leaves, the root alone, and the leaves with each other.
    expect(store.counts.get.requests).toBe(3);
  });

  test('gives up wrong bytes the second time, names the segment, and keeps nothing bad', async () => {
    const { repository, store, record } = await worldWithTree();
    const cache = new MapCache();
    const trees = repository.trees(cache);
    store.inject({ kind: 'flip-bit', bit: record.root!.offsetBytes * 8 + 99 }, { operation: 'get' });
    store.inject({ kind: 'flip-bit', bit: 99 }, { operation: 'get' });
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
    expect(store.counts.get.requests).toBe(1);
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

describe('nodes that travel together', () => {
  /** A chunk in every one of so many leaves. */
  const oneChunkEach = (leaves: number): Map<number, number> =>
    new Map(Array.from({ length: leaves }, (_, leaf) => [leaf * 256, leaf + 1]));

  async function readAll(trees: TreeReader, record: SnapshotRecord, leaves: number): Promise<void> {
    const entries = await Promise.all(Array.from({ length: leaves }, (_, leaf) => trees.entry(record, leaf * 256)));
    expect(new Set(entries.map((entry) => entry!.id)).size).toBe(leaves);
  }

  test('the whole tree of an image comes with its root, in one request', async () => {
    const { repository, store } = await createWorld();
    const record = await publish(repository, 'vm', oneChunkEach(32), 32 * 256 * CHUNK);
    store.resetCounts();
    await readAll(repository.trees(), record, 32);
    expect(store.counts.get.requests).toBe(1);
  });

  test('a commit leaves its tree in two requests: its own nodes, and those of before', async () => {
    const { repository, store } = await createWorld();
    const first = await publish(repository, 'vm', oneChunkEach(32), 32 * 256 * CHUNK);
    const second = await publish(repository, 'vm', new Map([[5 * 256, 99]]), first.sizeBytes);
    store.resetCounts();
    await readAll(repository.trees(), second, 32);
    expect(store.counts.get.requests).toBe(2);
  });

  test('siblings wait for one request, and leave when nobody waits', async () => {
    const { repository, store } = await createWorld();
    const first = await publish(repository, 'vm', oneChunkEach(32), 32 * 256 * CHUNK);
    const second = await publish(repository, 'vm', new Map([[5 * 256, 99]]), first.sizeBytes);
    const trees = repository.trees();
    await trees.entry(second, 5 * 256);
    store.inject({ kind: 'stall' }, { operation: 'get' });
    const controllers = [new AbortController(), new AbortController()];
    const waits = controllers.map(({ signal }, leaf) => trees.entry(second, leaf * 256, signal));
    await store.until(() => store.stalledCalls === 1);
    controllers[0]!.abort();
    await expect(waits[0]).rejects.toMatchObject({ code: 'ABORTED' });
    expect(store.stalledCalls).toBe(1);
    controllers[1]!.abort();
    await expect(waits[1]).rejects.toMatchObject({ code: 'ABORTED' });
    await store.until(() => store.stalledCalls === 0);
  });

  test('a sibling that came damaged fails nobody, and is fetched again by who wants it', async () => {
    const { repository, store } = await createWorld();
    const record = await publish(repository, 'vm', oneChunkEach(3), 3 * 256 * CHUNK);
    store.resetCounts();
    // In the first leaf, which stands after the header of 32 bytes.
    store.inject({ kind: 'flip-bit', bit: 50 * 8 }, { operation: 'get' });
    const trees = repository.trees();
    expect(await trees.entry(record, 256)).not.toBeNull();
    expect(store.counts.get.requests).toBe(1);
    expect(await trees.entry(record, 0)).not.toBeNull();
    expect(store.counts.get.requests).toBe(2);
  });

  test('a sibling whose place is past the end of the segment fails nobody', async () => {
    const { repository, store } = await createWorld();
    const record = await publish(repository, 'vm', oneChunkEach(3), 3 * 256 * CHUNK);
    const root = (await repository.trees().node(record.root!)).entries as NodeReference[];
    const groups = new NodeGroups(store);
    const siblings = [root[0]!, { ...root[1]!, offsetBytes: 20_000 }];
    const signal = new AbortController().signal;
    // Nobody gets less than was asked for: the node is then fetched alone.
    expect(await groups.fetch(root[0]!, { kind: 'siblings', siblings }, signal)).toBeUndefined();
  });

  test('are cut into groups by length and by gaps, the same for each that is in one', () => {
    const node = (offsetBytes: number, storedBytes = 10_000, segment = 'a'): NodeReference => ({
      id: String(offsetBytes),
      segment,
      offsetBytes,
      storedBytes,
      codec: 'none',
    });
    const row = Array.from({ length: 120 }, (_, index) => node(32 + index * 10_000));
    const far = node(1_300_000);
    const elsewhere = node(32, 10_000, 'b');
    const siblings = [far, elsewhere, null, ...row];
    const plan = (wanted: NodeReference) => planGroup(wanted, { kind: 'siblings', siblings });
    const groups = new Set(siblings.flatMap((wanted) => (wanted === null ? [] : [JSON.stringify(plan(wanted))])));
    expect([...groups].map((group) => JSON.parse(group) as unknown)).toEqual([
      { segment: 'a', offsetBytes: 1_300_000, lengthBytes: 10_000 },
      { segment: 'b', offsetBytes: 32, lengthBytes: 10_000 },
      { segment: 'a', offsetBytes: 32, lengthBytes: 520_000 },
      { segment: 'a', offsetBytes: 520_032, lengthBytes: 520_000 },
      { segment: 'a', offsetBytes: 1_040_032, lengthBytes: 160_000 },
    ]);
    expect(plan(node(5_000_000))).toEqual({ segment: 'a', offsetBytes: 5_000_000, lengthBytes: 10_000 });
    expect(planGroup(node(1_000_000), { kind: 'children' })).toEqual({
      segment: 'a',
      offsetBytes: 1_010_000 - MAX_GROUP_BYTES,
      lengthBytes: MAX_GROUP_BYTES,
    });
    expect(planGroup(node(100), { kind: 'children' })).toEqual({ segment: 'a', offsetBytes: 0, lengthBytes: 10_100 });
    expect(planGroup(node(100), { kind: 'nobody' })).toEqual({ segment: 'a', offsetBytes: 100, lengthBytes: 10_000 });
  });

  test('never hold more than a group, whatever places a node names', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ offsetBytes: fc.nat(2_000_000), storedBytes: fc.integer({ min: 1, max: 15_000 }) }), {
          minLength: 1,
          maxLength: 256,
        }),
        fc.nat(),
        (places, pick) => {
          const siblings = places.map(
            (place, index) => ({ id: String(index), segment: 'a', codec: 'none', ...place }) as const,
          );
          const wanted = siblings[pick % siblings.length]!;
          const range = planGroup(wanted, { kind: 'siblings', siblings });
          expect(range.lengthBytes).toBeLessThanOrEqual(MAX_GROUP_BYTES);
          expect(range.offsetBytes).toBeLessThanOrEqual(wanted.offsetBytes);
          expect(range.offsetBytes + range.lengthBytes).toBeGreaterThanOrEqual(wanted.offsetBytes + wanted.storedBytes);
        },
      ),
    );
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
