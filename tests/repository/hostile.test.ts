/** A repository in which somebody has changed objects: every operation ends, with a result or one of our errors. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { randomId } from '../../lib/format/checksums.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { collectRepository } from '../../lib/repository/collection.js';
import { describeImages } from '../../lib/repository/describe.js';
import { initRepository, openRepository } from '../../lib/repository/repository.js';
import { verifyRepository } from '../../lib/repository/verify.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { mutations } from '../format/examples.js';
import { CHUNK, keysOf, lockOf, publish, readBack } from './worlds.js';

const DAY = 24 * 60 * 60 * 1000;

async function worldWithImages() {
  const clock = { nowMs: 1_000_000 * DAY };
  const memory = new MemoryStore('memory:', () => clock.nowMs);
  const { repository } = await initRepository(memory, { chunkSizeBytes: CHUNK });
  await publish(
    repository,
    'base',
    new Map([
      [0, 1],
      [300, 2],
    ]),
    400 * CHUNK,
  );
  const { commitId } = await publish(repository, 'base', new Map([[1, 3]]), 400 * CHUNK);
  await cloneSnapshot(repository, { from: 'base', number: 1, to: 'vm', writerId: randomId() });
  await publish(repository, 'gone', new Map([[0, 4]]), CHUNK);
  await repository.deleteSnapshot('gone', 1);
  await repository.takeLock('base', lockOf({ base: { number: 2, commitId } }));
  // A list of segments that live: a collection that forgot a root would remove them at once.
  const ids = (await keysOf(memory, 'segments/')).map((key) => key.slice('segments/'.length));
  const list = { formatVersion: 1, requires: [], graceMs: DAY, segments: ids };
  await memory.put(`condemned/${randomId()}.json`, Buffer.from(JSON.stringify(list)));
  clock.nowMs += 2 * DAY;
  return { clock, memory };
}

async function settled(operation: () => Promise<unknown>): Promise<void> {
  try {
    await operation();
  } catch (error) {
    if (!(error instanceof LazydiskError)) throw error;
  }
}

describe('a repository with a changed object', () => {
  test('is described, verified, read and cloned to an end, and a collection removes nothing that was whole', async () => {
    const { clock, memory } = await worldWithImages();
    const keys = (await keysOf(memory)).filter((key) => !key.startsWith('condemned/'));
    const good = new Map(await Promise.all(keys.map(async (key) => [key, await memory.get(key)] as const)));
    const lists = await keysOf(memory, 'condemned/');
    const list = await memory.get(lists[0]!);
    const changes = fc.constantFrom(...keys).chain((key) => fc.tuple(fc.constant(key), mutations(good.get(key)!)));
    await fc.assert(
      fc.asyncProperty(changes, async ([key, bytes]) => {
        await memory.put(key, bytes);
        await settled(async () => {
          const repository = await openRepository(memory);
          await settled(() => describeImages(repository));
          await settled(() => verifyRepository(repository));
          await settled(() => verifyRepository(repository, { structure: true }));
          await settled(async () => readBack(repository, await repository.readRecord('base', 2), [1, 2, 3]));
          await settled(() => cloneSnapshot(repository, { from: 'vm', number: 1, to: 'new', writerId: randomId() }));
          await settled(() => repository.undeleteSnapshot('gone', 1));
          await settled(() => collectRepository(repository, { graceMs: DAY }));
        });
        // With the object as it was, everything is there.
        for (const one of good.keys()) expect(await keysOf(memory, one)).toEqual([one]);
        for (const one of await keysOf(memory)) if (!good.has(one)) await memory.delete(one);
        for (const [one, content] of good) await memory.put(one, content);
        await memory.put(lists[0]!, list);
        clock.nowMs += 2 * DAY;
      }),
      { numRuns: 150 },
    );
    expect((await verifyRepository(await openRepository(memory))).damages).toEqual([]);
  });
});
