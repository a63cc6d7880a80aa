import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { chunkCount } from '../../lib/format/geometry.js';
import { segmentKey } from '../../lib/format/keys.js';
import type { SnapshotRecord } from '../../lib/format/snapshot-record.js';
import { diffSnapshots, type DiffExtent } from '../../lib/repository/diff.js';
import { diffTrees } from '../../lib/repository/tree-diff.js';
import { CHUNK, createWorld, publish, readBack, writeTree, recordOf } from './worlds.js';

/** Chunks of an image, by number: few of them far apart, so that trees get high and differ in height. */
const chunkNumbers = fc.oneof(fc.nat(20), fc.integer({ min: 250, max: 520 }), fc.integer({ min: 65_530, max: 65_545 }));
const contents = fc.array(fc.tuple(chunkNumbers, fc.nat(3)), { maxLength: 12 });

function sizeFor(puts: ReadonlyMap<number, number>, odd: number): number {
  return (Math.max(-1, ...puts.keys()) + 1) * CHUNK + odd;
}

describe('the difference of two trees', () => {
  // S60
  test('is what a comparison chunk by chunk finds, whatever their sizes', async () => {
    const { repository } = await createWorld();
    await fc.assert(
      fc.asyncProperty(contents, contents, fc.boolean(), async (first, second, onTop) => {
        const old = new Map(first);
        const young = new Map(onTop ? [...first, ...second] : second);
        const write = async (puts: ReadonlyMap<number, number>): Promise<SnapshotRecord> => {
          const sizeBytes = sizeFor(puts, 100);
          const { root, allocatedBytes } = await writeTree(repository, puts, { sizeBytes });
          return recordOf({ sizeBytes, root, allocatedBytes });
        };
        const [before, after] = [await write(old), await write(young)];
        const found: number[] = [];
        for await (const { chunk, before: was, after: is } of diffTrees(repository.trees(), before, after)) {
          found.push(chunk);
          expect(was === null).toBe((old.get(chunk) ?? 0) === 0);
          expect(is === null).toBe((young.get(chunk) ?? 0) === 0);
        }
        const chunks = Math.max(...[before, after].map((tree) => chunkCount(tree.sizeBytes, CHUNK)));
        const expected = [...new Set([...old.keys(), ...young.keys()])]
          .filter((chunk) => chunk < chunks && (old.get(chunk) ?? 0) !== (young.get(chunk) ?? 0))
          .sort((a, b) => a - b);
        expect(found).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });

  test('of an image of 16 GiB and a commit of one chunk reads the two ways to that chunk, and nothing else', async () => {
    const { repository, store } = await createWorld();
    const sizeBytes = 262_144 * CHUNK;
    const far = Array.from({ length: 40 }, (_, index): [number, number] => [index * 6000, index + 1]);
    await publish(repository, 'vm', new Map(far), sizeBytes);
    await publish(repository, 'vm', new Map([[6000, 99]]), sizeBytes);
    const records = [await repository.readRecord('vm', 1), await repository.readRecord('vm', 2)] as const;
    store.resetCounts();
    const { extents } = await diffSnapshots(repository, { image: 'vm', number: 1 }, { image: 'vm', number: 2 });
    expect(extents).toEqual([{ offsetBytes: 6000 * CHUNK, lengthBytes: CHUNK, change: 'changed' }]);
    // Three levels on each side, each node by itself: its neighbours are the same on both sides.
    const gets = store.calls.filter(({ operation }) => operation === 'get');
    expect(gets).toHaveLength(6);
    const segments = records.map(({ root }) => segmentKey(root!.segment));
    for (const { key, range } of gets) {
      expect(segments).toContain(key);
      expect(range!.lengthBytes).toBeLessThanOrEqual(14_892);
    }
  });

  test('of snapshots with one root reads no node', async () => {
    const { repository, store } = await createWorld();
    await publish(repository, 'vm', new Map([[0, 1]]), CHUNK);
    await publish(repository, 'vm', new Map(), 3 * CHUNK);
    store.resetCounts();
    const diff = await diffSnapshots(repository, { image: 'vm', number: 1 }, { image: 'vm', number: 2 });
    expect(diff).toMatchObject({
      extents: [],
      from: { sizeBytes: CHUNK },
      to: { sizeBytes: 3 * CHUNK },
      storedBytes: 0,
    });
    expect(store.calls).toEqual([]);
  });
});

describe('the extents of a difference', () => {
  const between = async (first: [number, number][], second: [number, number][], sizes: readonly [number, number]) => {
    const { repository } = await createWorld();
    await publish(repository, 'a', new Map(first), sizes[0]);
    await publish(repository, 'b', new Map(second), sizes[1]);
    return diffSnapshots(repository, { image: 'a', number: 1 }, { image: 'b', number: 1 });
  };
  const short = (extents: readonly DiffExtent[]): (number | string)[][] =>
    extents.map(({ offsetBytes, lengthBytes, change }) => [offsetBytes / CHUNK, lengthBytes / CHUNK, change]);

  test('join neighbours of one kind, and say what was zero and what is', async () => {
    const diff = await between(
      [
        [0, 1],
        [1, 2],
        [2, 3],
        [4, 4],
        [5, 5],
        [255, 6],
        [256, 7],
      ],
      [
        [0, 1],
        [1, 8],
        [2, 9],
        [3, 10],
        [255, 11],
        [256, 12],
      ],
      [300 * CHUNK, 300 * CHUNK],
    );
    expect(short(diff.extents)).toEqual([
      [1, 2, 'changed'],
      [3, 1, 'written'],
      [4, 2, 'zeroed'],
      [255, 2, 'changed'],
    ]);
    expect(diff).toMatchObject({
      changedBytes: 4 * CHUNK,
      writtenBytes: CHUNK,
      zeroedBytes: 2 * CHUNK,
      storedBytes: 5 * CHUNK,
    });
  });

  test('end with the larger image, to the byte', async () => {
    const grown = await between(
      [[0, 1]],
      [
        [0, 1],
        [1, 2],
      ],
      [CHUNK, CHUNK + 1000],
    );
    expect(grown.extents).toEqual([{ offsetBytes: CHUNK, lengthBytes: 1000, change: 'written' }]);
    const shrunk = await between(
      [
        [0, 1],
        [1, 2],
      ],
      [[0, 1]],
      [CHUNK + 1000, CHUNK],
    );
    expect(shrunk.extents).toEqual([{ offsetBytes: CHUNK, lengthBytes: 1000, change: 'zeroed' }]);
  });

  test('are refused for images with chunks of different sizes', async () => {
    const { repository } = await createWorld();
    await repository.publishRecord('a', recordOf());
    await repository.publishRecord('b', recordOf({ chunkSizeBytes: 2 * CHUNK }));
    await expect(diffSnapshots(repository, { image: 'a', number: 1 }, { image: 'b', number: 1 })).rejects.toMatchObject(
      { code: 'USAGE', message: expect.stringContaining('65536') },
    );
  });
});

test('a node of another level than its parent says is damage', async () => {
  const { repository } = await createWorld();
  const small = await publish(repository, 'a', new Map([[0, 1]]), CHUNK);
  const large = await publish(repository, 'b', new Map([[300, 2]]), 301 * CHUNK);
  const wrong = { ...large, root: small.root };
  const walk = async (): Promise<unknown> => {
    const found = [];
    for await (const difference of diffTrees(repository.trees(), large, wrong)) found.push(difference);
    return found;
  };
  await expect(walk()).rejects.toMatchObject({ code: 'DAMAGED', message: expect.stringContaining('level 0') });
  expect(await readBack(repository, small, [1])).toEqual(new Map([[0, 1]]));
});
