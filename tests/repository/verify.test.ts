import { describe, expect, test } from '@jest/globals';
import { randomId } from '../../lib/format/checksums.js';
import { condemnedKey, profileKey, segmentKey, snapshotKey, tombstoneKey, writerKey } from '../../lib/format/keys.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { describeImages } from '../../lib/repository/describe.js';
import { openRepository } from '../../lib/repository/repository.js';
import { verifyRepository, type Damage } from '../../lib/repository/verify.js';
import { CHUNK, createWorld, keysOf, lockOf, publish } from './worlds.js';

async function worldWithImages() {
  const world = await createWorld();
  const { repository } = world;
  await publish(
    repository,
    'base',
    new Map([
      [0, 1],
      [1, 2],
      [300, 3],
    ]),
    1000 * CHUNK,
  );
  await publish(
    repository,
    'base',
    new Map([
      [1, 4],
      [999, 5],
    ]),
    1000 * CHUNK,
  );
  await publish(repository, 'base', new Map([[2, 6]]), 500 * CHUNK);
  await cloneSnapshot(repository, { from: 'base', number: 2, to: 'vm', writerId: randomId() });
  await repository.deleteSnapshot('base', 1);
  await repository.takeLock('vm', lockOf());
  // Another process, with nothing cached.
  return { ...world, repository: await openRepository(world.store) };
}

describe('verify', () => {
  test('finds nothing wrong with what lazydisk has written, and reads each segment once', async () => {
    const { repository, store } = await worldWithImages();
    const segments = await keysOf(store, 'segments/');
    store.resetCounts();
    const report = await verifyRepository(repository);
    expect(report.damages).toEqual([]);
    expect(report).toMatchObject({ images: 2, records: 3, tombstones: 1, chunks: 6, unreferencedSegments: 0 });
    expect(report.segments).toBe(segments.length);
    for (const key of segments) {
      const whole = store.calls.filter((call) => call.key === key && call.range === undefined);
      expect(whole).toHaveLength(1);
    }
  });

  test('of one image checks what that image needs', async () => {
    const { repository } = await worldWithImages();
    const report = await verifyRepository(repository, { image: 'vm' });
    expect(report).toMatchObject({ damages: [], records: 1, tombstones: 0, unreferencedSegments: null });
    await expect(verifyRepository(repository, { image: 'other' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('finds any changed byte of any object that is needed', async () => {
    const { memory, store } = await worldWithImages();
    for (const key of await keysOf(memory)) {
      const good = await memory.get(key);
      // Every byte of an index or footer matters as much as one of a payload; a sample of each object.
      const places = new Set([0, 5, 20, 33, good.length >> 1, good.length - 60, good.length - 38, good.length - 5]);
      if (!key.startsWith('segments/')) continue;
      for (const place of places) {
        const bad = Buffer.from(good);
        bad[place]! ^= 0x10;
        await memory.put(key, bad);
        const report = await verifyRepository(await openRepository(store));
        expect({ key, place, found: report.damages.some(({ object }) => object === key) }).toEqual({
          key,
          place,
          found: true,
        });
      }
      await memory.put(key, good);
    }
  });

  test('names every damaged object and goes on', async () => {
    const { repository, store } = await worldWithImages();
    const segments = await keysOf(store, 'segments/');
    await store.put(snapshotKey('base', 3), Buffer.from('{'));
    await store.put(tombstoneKey('base', 1), Buffer.from('{}'));
    await store.put(writerKey('vm'), Buffer.from('[]'));
    await store.delete(segments[0]!);
    const report = await verifyRepository(repository);
    const damaged = new Set(report.damages.map(({ object }) => object));
    for (const key of [snapshotKey('base', 3), tombstoneKey('base', 1), writerKey('vm')])
      expect(damaged).toContain(key);
    expect(report.records).toBe(2);
  });

  test('finds a record whose tree belongs to another size', async () => {
    const { repository, store } = await worldWithImages();
    const record = await repository.readRecord('base', 2);
    const wrong = { ...record, number: 4, sizeBytes: 900 * CHUNK };
    await store.put(snapshotKey('base', 4), Buffer.from(JSON.stringify(wrong)));
    const report = await verifyRepository(repository);
    expect(report.damages).toContainEqual({
      object: snapshotKey('base', 4),
      what: expect.stringContaining('beyond the end'),
    });
  });

  test('finds a record that counts its chunks wrongly', async () => {
    const { repository, store } = await worldWithImages();
    const record = await repository.readRecord('base', 2);
    const wrong = { ...record, number: 4, allocatedBytes: CHUNK };
    await store.put(snapshotKey('base', 4), Buffer.from(JSON.stringify(wrong)));
    const report = await verifyRepository(repository);
    expect(report.damages).toEqual([{ object: snapshotKey('base', 4), what: expect.stringContaining('allocated') }]);
  });

  test('counts segments that nothing points to', async () => {
    const { repository, store } = await worldWithImages();
    await store.put(`segments/${randomId()}`, Buffer.from('left by an interrupted import'));
    expect(await verifyRepository(repository)).toMatchObject({ damages: [], unreferencedSegments: 1 });
  });

  test('ends with the trouble of the store: it says nothing about the data', async () => {
    const { repository, store } = await worldWithImages();
    store.inject({ kind: 'fail-before' }, { operation: 'get', key: /^segments/, times: Infinity });
    await expect(verifyRepository(repository)).rejects.toMatchObject({ code: 'UNREACHABLE' });
  });
});

describe('verify of the structure', () => {
  const structure = true;

  test('finds nothing wrong with what lazydisk has written, and reads no chunk', async () => {
    const { repository, store } = await worldWithImages();
    const whole = await verifyRepository(repository);
    store.resetCounts();
    const report = await verifyRepository(await openRepository(store), { structure });
    expect(report).toEqual({ ...whole, readBytes: 0 });
    const gets = store.calls.filter(({ operation, key }) => operation === 'get' && key.startsWith('segments/'));
    expect(gets.every(({ range }) => range !== undefined)).toBe(true);
    expect(store.counts.get.bytes).toBeLessThan(CHUNK);
  });

  test('finds a segment that is missing, and one that ends too early for what points into it', async () => {
    const { repository, memory, store } = await worldWithImages();
    const { root } = await repository.readRecord('base', 2);
    const entry = await repository.trees().entry(await repository.readRecord('base', 2), 999);
    const cut = segmentKey(entry!.segment);
    await memory.put(cut, (await memory.get(cut)).subarray(0, -1));
    const report = await verifyRepository(repository, { structure });
    expect(report.damages).toEqual([{ object: cut, what: expect.stringContaining('has no payload') }]);
    await memory.delete(cut);
    expect((await verifyRepository(repository, { structure })).damages).toEqual([
      { object: cut, what: 'it is missing' },
    ]);
    await memory.delete(segmentKey(root!.segment));
    const { damages } = await verifyRepository(await openRepository(store), { structure });
    expect(damages.map(({ object }) => object)).toContain(segmentKey(root!.segment));
  });

  test('finds the same wrong records and nodes as a whole one', async () => {
    const { repository, memory, store } = await worldWithImages();
    const record = await repository.readRecord('base', 2);
    await store.put(
      snapshotKey('base', 4),
      Buffer.from(JSON.stringify({ ...record, number: 4, sizeBytes: 900 * CHUNK })),
    );
    await store.put(condemnedKey(randomId()), Buffer.from('{'));
    await store.put(profileKey('vm'), Buffer.from('{'));
    const { root } = await repository.readRecord('base', 3);
    const key = segmentKey(root!.segment);
    const bad = await memory.get(key);
    bad[root!.offsetBytes + 50]! ^= 1;
    await memory.put(key, bad);
    const objects = (found: readonly Damage[]) => found.map(({ object }) => object).sort();
    const whole = await verifyRepository(await openRepository(store));
    const report = await verifyRepository(await openRepository(store), { structure });
    expect(objects(report.damages)).toEqual([...new Set(objects(whole.damages))]);
    expect(report.damages).toHaveLength(4);
  });
});

describe('describing images', () => {
  test('tells snapshots, deleted numbers and locks', async () => {
    const { repository } = await worldWithImages();
    const images = await describeImages(repository);
    expect(images.map(({ image }) => image)).toEqual(['base', 'vm']);
    expect(images[0]).toMatchObject({ deleted: [1], lock: null });
    expect(
      images[0]!.snapshots.map(({ number, sizeBytes, allocatedBytes }) => [number, sizeBytes, allocatedBytes]),
    ).toEqual([
      [2, 1000 * CHUNK, 4 * CHUNK],
      [3, 500 * CHUNK, 4 * CHUNK],
    ]);
    expect(images[1]!.lock).toMatchObject({ host: 'somewhere' });
  });

  test('shows the others when one record is damaged', async () => {
    const { repository, store } = await worldWithImages();
    await store.put(snapshotKey('base', 3), Buffer.from('{'));
    const [base] = await describeImages(repository, { image: 'base' });
    expect(base!.snapshots[0]).toMatchObject({ number: 2, sizeBytes: 1000 * CHUNK });
    expect(base!.snapshots[1]).toEqual({ number: 3, problem: expect.stringContaining('damaged') });
  });

  test('of an image that does not live is not found', async () => {
    const { repository } = await worldWithImages();
    await expect(describeImages(repository, { image: 'other' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
