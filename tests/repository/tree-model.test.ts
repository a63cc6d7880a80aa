/** Trees against a plain map: random snapshots on top of one another, of random sizes, read back by every way. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { TREE_FANOUT } from '../../lib/format/geometry.js';
import type { NodeReference } from '../../lib/format/references.js';
import { memoryKnownPlaces } from '../../lib/repository/known-places.js';
import { chunkOf, CHUNK, createWorld, readBack, writeTree } from './worlds.js';

/** Sizes around the edges of leaves and levels, in chunks. */
const sizes = fc.oneof(
  fc.integer({ min: 0, max: 20 }),
  fc.constantFrom(0, 1, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 131_072, 131_100),
  fc.integer({ min: 0, max: 140_000 }),
);

/** Positions as shares of the size, so that shrinking a case keeps it valid. Many near both ends. */
const positions = fc.oneof(
  fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  fc.integer({ min: 0, max: 5 }).map((chunk) => chunk / 1e9),
  fc.integer({ min: 1, max: 5 }).map((chunk) => 1 - chunk / 1e9),
);

const steps = fc.array(
  fc.record({
    chunks: sizes,
    puts: fc.array(fc.tuple(positions, fc.integer({ min: 0, max: 6 })), { maxLength: 12 }),
    whole: fc.option(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 6 })), { freq: 5 }),
  }),
  { minLength: 1, maxLength: 6 },
);

function place(position: number, chunks: number): number {
  const fromStart = Math.round(position * 1e9);
  const fromEnd = Math.round((1 - position) * 1e9);
  const chunk = fromStart <= 5 ? fromStart : fromEnd <= 5 ? chunks - fromEnd : Math.floor(position * chunks);
  return Math.max(0, Math.min(chunks - 1, chunk));
}

describe('a tree', () => {
  test('holds after any sequence of snapshots and sizes what a map holds', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.boolean(), async (sequence, knows) => {
        const { repository } = await createWorld();
        const known = knows ? memoryKnownPlaces() : undefined;
        let base: {
          root: NodeReference | null;
          sizeBytes: number;
          chunkSizeBytes: number;
          allocatedBytes: number;
          requires: readonly string[];
        } | null = null;
        let model = new Map<number, number>();
        for (const step of sequence) {
          const puts = new Map<number, number>();
          if (step.chunks > 0) {
            for (const [position, seed] of step.puts) puts.set(place(position, step.chunks), seed);
            if (step.whole !== null) {
              const [share, seed] = step.whole;
              const leaf = Math.floor((share * (step.chunks - 1)) / TREE_FANOUT);
              for (let index = 0; index < TREE_FANOUT; index++) {
                const chunk = leaf * TREE_FANOUT + index;
                if (chunk < step.chunks) puts.set(chunk, seed === 0 ? 0 : 1 + ((seed + index) % 6));
              }
            }
          }
          const sizeBytes = step.chunks * CHUNK;
          const options = { sizeBytes, base, ...(known === undefined ? {} : { known }) };
          const written = await writeTree(repository, puts, options);
          const merged = new Map([...model, ...puts]);
          model = new Map([...merged].filter(([chunk, seed]) => chunk < step.chunks && seed !== 0));
          expect(written.allocatedBytes).toBe(model.size * CHUNK);
          const tree = { root: written.root, sizeBytes, chunkSizeBytes: CHUNK };
          const sorted = new Map([...model].sort(([a], [b]) => a - b));
          expect([...(await readBack(repository, tree, [1, 2, 3, 4, 5, 6]))]).toEqual([...sorted]);
          const trees = repository.trees();
          for (const chunk of puts.keys()) {
            expect((await trees.entry(tree, chunk)) === null).toBe(!model.has(chunk));
          }
          base = { ...tree, allocatedBytes: written.allocatedBytes, requires: written.requires };
        }
      }),
      { numRuns: 60 },
    );
  });

  test('that did not change keeps its root, and nothing is uploaded', async () => {
    const { repository, store } = await createWorld();
    const sizeBytes = 70_000 * CHUNK;
    const puts = new Map([...Array(300).keys()].map((index) => [index * 200, 1 + (index % 6)]));
    const first = await writeTree(repository, puts, { sizeBytes });
    store.resetCounts();
    const base = { ...first, sizeBytes, chunkSizeBytes: CHUNK };
    const second = await writeTree(repository, puts, { sizeBytes, base });
    expect(second.root).toEqual(first.root);
    expect(second.uploadedBytes).toBe(0);
    expect(store.counts.put.requests).toBe(0);
  });

  test('writes new nodes only along the paths that changed', async () => {
    const { repository, store } = await createWorld();
    const sizeBytes = 70_000 * CHUNK;
    const puts = new Map([...Array(100).keys()].map((index) => [index * 256, 1]));
    const first = await writeTree(repository, puts, { sizeBytes });
    store.resetCounts();
    const base = { ...first, sizeBytes, chunkSizeBytes: CHUNK };
    const second = await writeTree(repository, new Map([[5, 2]]), { sizeBytes, base });
    // One new chunk, a leaf with two entries, a node with 100, a root with one.
    expect(second.uploadedBytes).toBeLessThan(CHUNK + 3 * 256 * 64);
    expect(store.counts.put.requests).toBe(2);
  });

  test('of zeros only is no tree', async () => {
    const { repository } = await createWorld();
    const sizeBytes = 1000 * CHUNK;
    const first = await writeTree(repository, new Map([[7, 1]]), { sizeBytes });
    const base = { ...first, sizeBytes, chunkSizeBytes: CHUNK };
    const second = await writeTree(repository, new Map([[7, 0]]), { sizeBytes, base });
    expect(second).toMatchObject({ root: null, allocatedBytes: 0 });
  });

  test('that is cut inside a chunk shows zeros there when it grows again', async () => {
    const { repository } = await createWorld();
    const writer = repository.writeSnapshot({
      chunkSizeBytes: CHUNK,
      sizeBytes: 2 * CHUNK,
      base: null,
      known: memoryKnownPlaces(),
      trees: repository.trees(),
    });
    await writer.put(0, chunkOf(1));
    await writer.put(1, Buffer.alloc(CHUNK, 0xaa));
    const first = { ...(await writer.finish()), sizeBytes: 2 * CHUNK, chunkSizeBytes: CHUNK };
    const cutBytes = CHUNK + 1000;
    const second = {
      ...(await writeTree(repository, new Map(), { sizeBytes: cutBytes, base: first })),
      sizeBytes: cutBytes,
    };
    const third = await writeTree(repository, new Map(), {
      sizeBytes: 2 * CHUNK,
      base: { ...second, chunkSizeBytes: CHUNK },
    });
    const tree = { root: third.root, sizeBytes: 2 * CHUNK, chunkSizeBytes: CHUNK };
    const reference = (await repository.trees().entry(tree, 1))!;
    const bytes = await repository.store.get(`segments/${reference.segment}`, {
      range: { offsetBytes: reference.offsetBytes, lengthBytes: CHUNK },
    });
    expect(bytes.subarray(0, 1000).every((byte) => byte === 0xaa)).toBe(true);
    expect(bytes.subarray(1000).every((byte) => byte === 0)).toBe(true);
  });
});
