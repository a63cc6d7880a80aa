/** What is compressed, where that is allowed, and who has to know of it. */
import { describe, expect, test } from '@jest/globals';
import { randomId, sha256 } from '../../lib/format/checksums.js';
import { segmentKey, snapshotKey } from '../../lib/format/keys.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { memoryKnownPlaces } from '../../lib/repository/known-places.js';
import { initRepository, openRepository, upgradeRepository } from '../../lib/repository/repository.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { pseudoRandom } from '../util/zstd/payloads.js';
import { CHUNK, chunkOf, createWorld, publish, readBack, writeTree, type World } from './worlds.js';

const SIZE = 400 * CHUNK;
const PUTS = new Map([
  [0, 1],
  [1, 2],
  [2, 1],
  [300, 3],
]);

async function placesOf({ repository }: World, image: string, number: number) {
  const record = await repository.readRecord(image, number);
  const places = [];
  for await (const [chunk, { codec, storedBytes }] of repository.trees().chunks(record)) {
    places.push({ chunk, codec, storedBytes });
  }
  return places;
}

/** Publishes one chunk that nothing shrinks. */
async function publishNoise({ repository }: World, chunk: number, base: Parameters<typeof writeTree>[2]['base']) {
  const writer = repository.writeSnapshot({
    chunkSizeBytes: CHUNK,
    sizeBytes: SIZE,
    base: base ?? null,
    known: memoryKnownPlaces(),
    trees: repository.trees(),
  });
  await writer.put(chunk, pseudoRandom(CHUNK));
  return writer.finish();
}

describe('a repository that allows zstd', () => {
  test('stores chunks that shrink with it, and gives the same bytes back', async () => {
    const world = await createWorld('zstd');
    const record = await publish(world.repository, 'vm', PUTS, SIZE);
    expect(record.requires).toEqual(['zstd']);
    const places = await placesOf(world, 'vm', 1);
    expect(places.map(({ chunk, codec }) => [chunk, codec])).toEqual([...PUTS.keys()].map((chunk) => [chunk, 'zstd']));
    expect(places.every(({ storedBytes }) => storedBytes < 1000)).toBe(true);
    expect(world.store.counts.put.bytes).toBeLessThan(CHUNK);
    expect([...(await readBack(world.repository, record, [1, 2, 3]))]).toEqual([...PUTS]);
    expect(await verifyRepository(await openRepository(world.store))).toMatchObject({ damages: [], chunks: 3 });
  });

  test('stores a chunk that does not shrink as it is, and needs no reader that knows zstd', async () => {
    const world = await createWorld('zstd');
    const written = await publishNoise(world, 5, null);
    expect(written.requires).toEqual([]);
    const tree = { ...written, sizeBytes: SIZE, chunkSizeBytes: CHUNK };
    expect(await world.repository.trees().entry(tree, 5)).toMatchObject({ codec: 'none', storedBytes: CHUNK });
  });

  test('says what the base needs in every snapshot and clone on top of it', async () => {
    const world = await createWorld('zstd');
    const base = await publish(world.repository, 'vm', PUTS, SIZE);
    expect((await publishNoise(world, 5, base)).requires).toEqual(['zstd']);
    const clone = { from: 'vm', number: 1, to: 'clone', writerId: randomId() };
    expect((await cloneSnapshot(world.repository, clone)).requires).toEqual(['zstd']);
  });

  test('needs a reader that knows zstd also where only the place of a chunk was known', async () => {
    const { repository, store } = await createWorld('zstd');
    const known = memoryKnownPlaces();
    await writeTree(repository, PUTS, { sizeBytes: SIZE, known });
    store.resetCounts();
    const second = await writeTree(repository, new Map([[7, 2]]), { sizeBytes: SIZE, known });
    expect(second.requires).toEqual(['zstd']);
    expect(store.counts.put.requests).toBe(1); // its leaf
  });

  test('keeps the order of the puts in its segments, whichever chunk is coded first', async () => {
    const { repository, store } = await createWorld('zstd');
    const puts = new Map([...Array(200).keys()].map((chunk) => [chunk, chunk + 1]));
    const written = await writeTree(repository, puts, { sizeBytes: SIZE });
    const tree = { ...written, sizeBytes: SIZE, chunkSizeBytes: CHUNK };
    let end = 32;
    for await (const [, { offsetBytes, storedBytes }] of repository.trees().chunks(tree)) {
      expect(offsetBytes).toBe(end);
      end = offsetBytes + storedBytes;
    }
    expect((await store.list('segments/')).objects).toHaveLength(2); // chunks, nodes
  });

  test('closes a segment of tiny payloads before its index outgrows them', async () => {
    const { repository, store } = await createWorld('zstd');
    const puts = new Map([...Array(5000).keys()].map((chunk) => [chunk, chunk + 1]));
    await writeTree(repository, puts, { sizeBytes: 5000 * CHUNK });
    expect((await store.list('segments/')).objects).toHaveLength(3);
  });

  test('has payloads whose damage is found', async () => {
    const world = await createWorld('zstd');
    const record = await publish(world.repository, 'vm', new Map([[3, 4]]), SIZE);
    const { segment, offsetBytes, storedBytes } = (await world.repository.trees().entry(record, 3))!;
    const good = await world.memory.get(segmentKey(segment));
    for (let at = offsetBytes; at < offsetBytes + storedBytes; at += 7) {
      const bad = Buffer.from(good);
      bad[at]! ^= 0x10;
      await world.memory.put(segmentKey(segment), bad);
      const { damages } = await verifyRepository(await openRepository(world.store));
      expect(damages.map(({ object }) => object)).toContain(segmentKey(segment));
      await expect(readBack(world.repository, record, [4])).rejects.toMatchObject({ code: 'DAMAGED' });
    }
  });
});

describe('a repository that does not allow zstd', () => {
  test('is written without it, until it is upgraded', async () => {
    const world = await createWorld('none');
    const first = await publish(world.repository, 'vm', PUTS, SIZE);
    expect(first.requires).toEqual([]);
    expect(await upgradeRepository(world.store)).toMatchObject({ added: ['zstd'] });
    expect(await upgradeRepository(world.store)).toMatchObject({ added: [] });

    const later = { ...world, repository: await openRepository(world.store) };
    await later.repository.assertExclusivePuts();
    const second = await publish(later.repository, 'vm', new Map([[1, 4]]), SIZE);
    expect(second.requires).toEqual(['zstd']);
    expect((await placesOf(later, 'vm', 2)).map(({ codec }) => codec)).toEqual(['none', 'zstd', 'none', 'none']);
    expect([...(await readBack(later.repository, second, [1, 2, 3, 4]))]).toEqual([...new Map([...PUTS, [1, 4]])]);
    expect((await later.repository.readRecord('vm', 1)).requires).toEqual([]);
    expect(await verifyRepository(later.repository)).toMatchObject({ damages: [] });
  });

  test('learns of an upgrade before the first write of a mount that began before it', async () => {
    const { repository, store } = await createWorld('none');
    await upgradeRepository(store);
    await repository.assertExclusivePuts();
    expect((await writeTree(repository, PUTS, { sizeBytes: SIZE })).requires).toEqual([]); // it has written already
    const { marker } = repository;
    const mounted = await openRepository(store, { marker });
    await mounted.assertExclusivePuts();
    expect((await writeTree(mounted, PUTS, { sizeBytes: SIZE })).requires).toEqual(['zstd']);
  });

  test('does not point to places of coded chunks that it hears of', async () => {
    const { repository } = await createWorld('none');
    const known = memoryKnownPlaces();
    const id = sha256(chunkOf(1));
    await known.record([{ id, segment: randomId(), offsetBytes: 32, storedBytes: 500, codec: 'zstd' }]);
    const written = await writeTree(repository, new Map([[0, 1]]), { sizeBytes: SIZE, known });
    const tree = { ...written, sizeBytes: SIZE, chunkSizeBytes: CHUNK };
    expect(await repository.trees().entry(tree, 0)).toMatchObject({ codec: 'none', storedBytes: CHUNK });
  });
});

test('init allows zstd unless it is told not to, and does not change what a repository allows', async () => {
  expect((await initRepository(new MemoryStore())).repository.marker.allows).toEqual(['zstd']);
  const store = new MemoryStore();
  const { repository } = await initRepository(store, { compression: 'none' });
  expect(repository.marker.allows).toEqual([]);
  await expect(initRepository(store, { compression: 'zstd' })).rejects.toThrow(/lazydisk upgrade/);
  expect(await initRepository(store, { compression: 'none' })).toMatchObject({ created: false });
});

test('an upgrade keeps what it does not know', async () => {
  const { repository, store } = await createWorld('none');
  await store.put('lazydisk.json', Buffer.from(JSON.stringify({ ...repository.marker, allows: ['later'], more: 1 })));
  await upgradeRepository(store);
  expect(JSON.parse((await store.get('lazydisk.json')).toString())).toMatchObject({
    repositoryId: repository.id,
    allows: ['later', 'zstd'],
    more: 1,
  });
});

test('a record that needs a feature of the future is refused by name', async () => {
  const { repository, store } = await createWorld('zstd');
  const record = await publish(repository, 'vm', PUTS, SIZE);
  const future = { ...record, number: 2, requires: ['zstd', 'brotli'] };
  await store.put(snapshotKey('vm', 2), Buffer.from(JSON.stringify(future)));
  await expect(repository.readRecord('vm', 2)).rejects.toThrow(/vm.*needs the feature "brotli"/);
});
