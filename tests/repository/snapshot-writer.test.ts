import { describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { sha256 } from '../../lib/format/checksums.js';
import { decodeSegmentIndex } from '../../lib/format/segment.js';
import { memoryKnownPlaces, noKnownPlaces } from '../../lib/repository/known-places.js';
import type { ObjectStore } from '../../lib/store/object-store.js';
import { chunkOf, CHUNK, createWorld, keysOf, publish, readBack, writeTree } from './worlds.js';

const MIB = 1024 * 1024;

/** All chunk ids in the store, by segment, in the order of the segment. */
async function storedChunks(store: ObjectStore): Promise<string[][]> {
  const segments: string[][] = [];
  for (const key of await keysOf(store, 'segments/')) {
    const bytes = await store.get(key);
    const index = decodeSegmentIndex(bytes, bytes.length, key);
    if (index.kind === 'chunks') segments.push(index.entries.map((entry) => entry.id));
  }
  return segments;
}

describe('a snapshot writer', () => {
  test('stores equal chunks once', async () => {
    const { repository, store } = await createWorld();
    const puts = new Map([...Array(50).keys()].map((chunk) => [chunk, 1 + (chunk % 3)]));
    const written = await writeTree(repository, puts, { sizeBytes: 50 * CHUNK });
    expect(written.allocatedBytes).toBe(50 * CHUNK);
    expect((await storedChunks(store)).flat()).toHaveLength(3);
    expect(written.uploadedBytes).toBe(store.counts.put.bytes);
    expect(written.uploadedBytes).toBeLessThan(4 * CHUNK);
  });

  test('appends chunks in the order they are put', async () => {
    const { repository, store } = await createWorld();
    const puts = new Map([...Array(30).keys()].map((chunk) => [chunk, chunk + 1]));
    await writeTree(repository, puts, { sizeBytes: 30 * CHUNK });
    const ids = [...puts.values()].map((seed) => sha256(chunkOf(seed)));
    expect(await storedChunks(store)).toEqual([ids]);
  });

  test('does not upload what the base has at the same place', async () => {
    const { repository, store } = await createWorld();
    const sizeBytes = 20 * CHUNK;
    const first = await writeTree(
      repository,
      new Map([
        [1, 1],
        [2, 2],
      ]),
      { sizeBytes },
    );
    const base = { ...first, sizeBytes, chunkSizeBytes: CHUNK };
    store.resetCounts();
    const second = await writeTree(
      repository,
      new Map([
        [1, 1],
        [2, 3],
      ]),
      { sizeBytes, base },
    );
    expect((await storedChunks(store)).flat()).toHaveLength(3);
    expect([...(await readBack(repository, { ...second, sizeBytes, chunkSizeBytes: CHUNK }, [1, 2, 3]))]).toEqual([
      [1, 1],
      [2, 3],
    ]);
  });

  test('does not upload chunks whose place is known, and records the places of the others', async () => {
    const { repository, store } = await createWorld();
    const known = memoryKnownPlaces();
    await writeTree(
      repository,
      new Map([
        [0, 1],
        [1, 2],
      ]),
      { sizeBytes: 9 * CHUNK, known },
    );
    await writeTree(
      repository,
      new Map([
        [5, 2],
        [6, 1],
        [7, 3],
      ]),
      { sizeBytes: 9 * CHUNK, known },
    );
    expect((await storedChunks(store)).flat()).toHaveLength(3);
  });

  test('goes on without known places when those fail', async () => {
    const { repository } = await createWorld();
    const failing = {
      lookup: () => Promise.reject(new Error('full')),
      record: () => Promise.reject(new Error('full')),
    };
    const sizeBytes = 3 * CHUNK;
    const written = await writeTree(repository, new Map([[0, 1]]), { sizeBytes, known: failing });
    expect([...(await readBack(repository, { ...written, sizeBytes, chunkSizeBytes: CHUNK }, [1]))]).toEqual([[0, 1]]);
  });

  test('hands over each chunk that is not zero with its name, the unchanged ones too', async () => {
    const { repository } = await createWorld();
    const seen: [string, Uint8Array][] = [];
    const sizeBytes = 10 * CHUNK;
    const base = await publish(repository, 'vm', new Map([[0, 9]]), sizeBytes);
    const puts = new Map([
      [0, 9],
      [1, 1],
      [2, 2],
      [3, 0],
    ]);
    await writeTree(repository, puts, { sizeBytes, base, onHashed: (id, bytes) => seen.push([id, bytes]) });
    expect(seen.map(([id]) => id)).toEqual([9, 1, 2].map((seed) => sha256(chunkOf(seed))));
    for (const [id, bytes] of seen) expect(sha256(bytes)).toBe(id);
  });

  test.each(['none', 'zstd'] as const)('never reads bytes that it has given back (%s)', async (compression) => {
    const { repository } = await createWorld(compression);
    const known = memoryKnownPlaces();
    const sizeBytes = 400 * CHUNK;
    const base = await publish(repository, 'vm', new Map([[1, 1]]), sizeBytes);
    await writeTree(repository, new Map([[0, 9]]), { sizeBytes, known });
    // Unchanged, zeros, known, new, and new twice.
    const puts = [
      [1, 1],
      [2, 0],
      [3, 9],
      ...[...Array(100).keys()].map((n) => [10 + n, 10 + (n % 60)] as const),
    ] as const;
    const given = puts.map(([, seed]) => chunkOf(seed));
    const back: Uint8Array[] = [];
    const writer = repository.writeSnapshot({
      chunkSizeBytes: CHUNK,
      sizeBytes,
      base,
      known,
      trees: repository.trees(),
      onRead: (bytes) => back.push(bytes.fill(0xee)),
    });
    for (const [index, [chunk]] of puts.entries()) await writer.put(chunk, given[index]!);
    const tree = { ...(await writer.finish()), sizeBytes, chunkSizeBytes: CHUNK };
    expect(new Set(back)).toEqual(new Set(given));
    expect(back).toHaveLength(given.length);
    const seeds = [...Array(80).keys()];
    expect([...(await readBack(repository, tree, seeds))]).toEqual(
      puts.filter(([, seed]) => seed !== 0).map(([...p]) => p),
    );
  });

  test('closes segments at 2, 4, then 8 MiB and bounds what it holds', async () => {
    const { repository, store } = await createWorld();
    const writer = repository.writeSnapshot({
      chunkSizeBytes: MIB,
      sizeBytes: 200 * MIB,
      base: null,
      known: noKnownPlaces,
      trees: repository.trees(),
    });
    store.inject({ kind: 'stall' }, { operation: 'put', times: Infinity });
    let accepted = 0;
    const putting = (async () => {
      for (let chunk = 0; chunk < 100; chunk++) {
        await writer.put(chunk, randomBytes(MIB));
        accepted = chunk + 1;
      }
    })();
    await store.until(() => store.stalledCalls === 8);
    // Nothing gets through: at most 72 MiB are taken for segments, 16 MiB wait to be coded.
    for (let turns = 0; turns < 200; turns++) await new Promise((resolve) => setImmediate(resolve));
    expect(accepted).toBeLessThanOrEqual(90);
    store.clearFaults();
    store.releaseStalled();
    await putting;
    const written = await writer.finish();
    expect(written.allocatedBytes).toBe(100 * MIB);
    const sizes = (await store.list('segments/')).objects.map((object) => object.sizeBytes);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(8 * MIB + 4096);
    expect(sizes).toHaveLength(15); // 2, 4, eleven of 8, and 6 MiB of chunks; one of nodes
  });

  test('ends with the first error of the store, and says it at every later call', async () => {
    const { repository, store } = await createWorld();
    store.inject({ kind: 'fail-before' }, { operation: 'put', key: /^segments/, times: Infinity });
    const writer = repository.writeSnapshot({
      chunkSizeBytes: CHUNK,
      sizeBytes: 10 * CHUNK,
      base: null,
      known: noKnownPlaces,
      trees: repository.trees(),
    });
    await writer.put(0, chunkOf(1));
    await expect(writer.finish()).rejects.toMatchObject({ code: 'UNREACHABLE' });
    await expect(writer.put(1, chunkOf(1))).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });

  test('stops when its caller goes away', async () => {
    const { repository, store } = await createWorld();
    const controller = new AbortController();
    store.inject({ kind: 'stall' }, { operation: 'put', key: /^segments/ });
    const writer = repository.writeSnapshot({
      chunkSizeBytes: CHUNK,
      sizeBytes: 10 * CHUNK,
      base: null,
      known: noKnownPlaces,
      trees: repository.trees(),
      signal: controller.signal,
    });
    await writer.put(0, chunkOf(1));
    const finishing = writer.finish();
    await store.until(() => store.stalledCalls === 1);
    controller.abort();
    await expect(finishing).rejects.toMatchObject({ code: 'ABORTED' });
  });

  test('that is abandoned uploads nothing more', async () => {
    const { repository, store } = await createWorld();
    const writer = repository.writeSnapshot({
      chunkSizeBytes: CHUNK,
      sizeBytes: 10 * CHUNK,
      base: null,
      known: noKnownPlaces,
      trees: repository.trees(),
    });
    await writer.put(0, chunkOf(1));
    await writer.abandon();
    expect(await keysOf(store, 'segments/')).toEqual([]);
    await expect(writer.finish()).rejects.toMatchObject({ code: 'ABORTED' });
  });

  test('refuses chunks that do not fit', async () => {
    const { repository } = await createWorld();
    const options = { chunkSizeBytes: CHUNK, base: null, known: noKnownPlaces, trees: repository.trees() };
    const writer = repository.writeSnapshot({ ...options, sizeBytes: CHUNK + 100 });
    await expect(writer.put(2, null)).rejects.toMatchObject({ code: 'USAGE' });
    await expect(writer.put(-1, null)).rejects.toMatchObject({ code: 'USAGE' });
    await expect(writer.put(0, Buffer.alloc(100))).rejects.toMatchObject({ code: 'USAGE' });
    await expect(writer.put(1, Buffer.alloc(CHUNK, 1))).rejects.toThrow(/padded with zeros/);
    await writer.put(0, null);
    await writer.put(0, null).catch(() => undefined);
    await expect(writer.finish()).rejects.toThrow(/put twice/);
    expect(() => repository.writeSnapshot({ ...options, sizeBytes: 2 ** 50 })).toThrow(
      expect.objectContaining({ code: 'TOO_LARGE' }),
    );
  });

  test('takes a size that was not known at the start', async () => {
    const { repository } = await createWorld();
    const options = { chunkSizeBytes: CHUNK, base: null, known: noKnownPlaces, trees: repository.trees() };
    const writer = repository.writeSnapshot({ ...options, sizeBytes: 2 ** 43 });
    for (let chunk = 0; chunk < 600; chunk++) await writer.put(chunk, chunk % 100 === 0 ? chunkOf(1) : null);
    const sizeBytes = 599 * CHUNK + 1;
    const tree = { ...(await writer.finish(sizeBytes)), sizeBytes, chunkSizeBytes: CHUNK };
    expect([...(await readBack(repository, tree, [1])).keys()]).toEqual([0, 100, 200, 300, 400, 500]);
  });
});

describe('a snapshot', () => {
  test('is visible only after everything it needs: the record is put last', async () => {
    const { repository, store } = await createWorld();
    await publish(
      repository,
      'vm',
      new Map([
        [0, 1],
        [300, 2],
      ]),
      400 * CHUNK,
    );
    const puts = store.calls.filter(({ operation }) => operation === 'put').map(({ key }) => key);
    expect(puts.at(-1)).toBe('images/vm/snapshots/00000001.json');
    expect(puts.slice(0, -1).every((key) => key.startsWith('segments/'))).toBe(true);
    expect(puts).toHaveLength(3);
  });

  test('is not there when any put before its record fails', async () => {
    for (let skip = 0; skip < 2; skip++) {
      const { repository, store } = await createWorld();
      store.inject({ kind: 'fail-before' }, { operation: 'put', key: /^segments/, skip });
      await expect(publish(repository, 'vm', new Map([[0, 1]]), CHUNK)).rejects.toMatchObject({ code: 'UNREACHABLE' });
      expect(await repository.imageNames()).toEqual([]);
    }
  });
});
