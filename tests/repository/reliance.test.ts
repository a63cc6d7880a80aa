import { beforeEach, describe, expect, test } from '@jest/globals';
import { encodeCondemnedList, MIN_GRACE_MS } from '../../lib/format/condemned-list.js';
import { randomId } from '../../lib/format/checksums.js';
import { condemnedKey, segmentKey } from '../../lib/format/keys.js';
import type { KnownPlaces, WrittenSnapshot } from '../../lib/repository/api.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { memoryKnownPlaces } from '../../lib/repository/known-places.js';
import { PUBLISHED_BY_MS, PUBLISH_WINDOW_MS } from '../../lib/repository/reliance.js';
import { StoredRepository } from '../../lib/repository/stored-repository.js';
import { CHUNK, createWorld, keysOf, publish, recordOf, writeTree, type World } from './worlds.js';

const HOUR = 60 * 60 * 1000;

let world: World;
let nowMs: number;
let repository: StoredRepository;
beforeEach(async () => {
  world = await createWorld();
  nowMs = 0;
  const start = () => {
    const startedMs = nowMs;
    return () => nowMs - startedMs;
  };
  repository = new StoredRepository(world.store, world.repository.marker, undefined, start);
});

async function condemn(segments: readonly string[], graceMs = MIN_GRACE_MS): Promise<void> {
  const key = condemnedKey(randomId());
  await world.memory.put(key, encodeCondemnedList({ formatVersion: 1, requires: [], graceMs, segments }, key));
}

async function segmentIds(): Promise<string[]> {
  return (await keysOf(world.memory, 'segments/')).map((key) => key.slice('segments/'.length));
}

/** A tree of one chunk whose place is remembered: what a commit that failed has left behind. */
async function leftBehind(): Promise<{ known: KnownPlaces; segment: string }> {
  const known = memoryKnownPlaces();
  const segment = await written(known);
  world.store.resetCounts();
  return { known, segment };
}

/** Writes the chunk, and says in which segment it stands then. */
async function written(known: KnownPlaces): Promise<string> {
  const sizeBytes = 4 * CHUNK;
  const tree = await writeTree(repository, new Map([[3, 7]]), { sizeBytes, known });
  const entry = await repository.trees().entry({ ...tree, sizeBytes, chunkSizeBytes: CHUNK }, 3);
  return entry!.segment;
}

describe('sharing a remembered chunk', () => {
  test('uses its segment when that is there and in no list', async () => {
    const { known, segment } = await leftBehind();
    expect(await written(known)).toBe(segment);
    expect(world.store.calls.filter(({ key }) => key === segmentKey(segment))).toHaveLength(1);
  });

  test('uploads the chunk again when its segment is condemned', async () => {
    const { known, segment } = await leftBehind();
    await condemn([segment]);
    expect(await written(known)).not.toBe(segment);
  });

  test('uploads the chunk again when its segment has gone', async () => {
    const { known, segment } = await leftBehind();
    await world.memory.delete(segmentKey(segment));
    expect(await written(known)).not.toBe(segment);
  });

  test('uploads the chunk again when a list can not be read', async () => {
    const { known, segment } = await leftBehind();
    await world.memory.put(condemnedKey(randomId()), Buffer.from('{'));
    expect(await written(known)).not.toBe(segment);
  });

  test('asks nothing of the store while nothing is remembered', async () => {
    await writeTree(repository, new Map([[0, 9]]), { sizeBytes: CHUNK, known: memoryKnownPlaces() });
    expect(world.store.calls.map(({ operation }) => operation)).toEqual(['put', 'put']);
  });
});

// S55
describe('publishing', () => {
  const draft = ({ root, allocatedBytes }: WrittenSnapshot) => recordOf({ root, allocatedBytes });

  test('takes no harm from a list that came after the upload had begun', async () => {
    const written = await writeTree(repository, new Map([[0, 1]]), { sizeBytes: CHUNK });
    await condemn(await segmentIds());
    nowMs += MIN_GRACE_MS - PUBLISHED_BY_MS;
    await repository.publishRecord('disk', draft(written), undefined, { confirm: written.confirm });
    expect((await repository.listImage('disk')).snapshots).toHaveLength(1);
  });

  test.each([1, 24])(
    'is refused when the upload took longer than the grace of such a list, %i hours',
    async (hours) => {
      const written = await writeTree(repository, new Map([[0, 1]]), { sizeBytes: CHUNK });
      await condemn(await segmentIds(), hours * HOUR);
      nowMs += hours * HOUR - PUBLISHED_BY_MS + 1;
      const publishing = repository.publishRecord('disk', draft(written), undefined, { confirm: written.confirm });
      await expect(publishing).rejects.toMatchObject({
        code: 'CONFLICT',
        facts: { condemned: expect.arrayContaining(await segmentIds()) },
      });
      expect((await repository.listImage('disk')).snapshots).toEqual([]);
    },
  );

  test('of a day of uploads is not held up by a list with a longer grace', async () => {
    const written = await writeTree(repository, new Map([[0, 1]]), { sizeBytes: CHUNK });
    await condemn(await segmentIds(), 7 * 24 * HOUR);
    nowMs += 24 * HOUR;
    await repository.publishRecord('disk', draft(written), undefined, { confirm: written.confirm });
  });

  test('is refused when the upload took so long that a list came and went with its segments', async () => {
    const written = await writeTree(repository, new Map([[0, 1]]), { sizeBytes: CHUNK });
    const [segment] = await segmentIds();
    await world.memory.delete(segmentKey(segment!));
    nowMs += MIN_GRACE_MS;
    const publishing = repository.publishRecord('disk', draft(written), undefined, { confirm: written.confirm });
    await expect(publishing).rejects.toMatchObject({ code: 'CONFLICT', facts: { condemned: [segment] } });
  });

  test('is refused when the put comes too late after the reading of the lists', async () => {
    const written = await writeTree(repository, new Map([[0, 1]]), { sizeBytes: CHUNK });
    const confirm = async () => {
      await written.confirm();
      nowMs += PUBLISH_WINDOW_MS + 1;
    };
    await expect(repository.publishRecord('disk', draft(written), undefined, { confirm })).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    expect(await keysOf(world.memory, 'images/')).toEqual([]);
  });

  test('a clone of a snapshot that this host remembers, but that was deleted, is refused', async () => {
    await publish(repository, 'disk', new Map([[0, 1]]), CHUNK);
    await repository.readRecord('disk', 1);
    await world.repository.deleteSnapshot('disk', 1);
    const cloning = cloneSnapshot(repository, { from: 'disk', number: 1, to: 'vm', writerId: randomId() });
    await expect(cloning).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
