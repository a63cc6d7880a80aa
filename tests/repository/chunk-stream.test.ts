import { describe, expect, test } from '@jest/globals';
import type { ChunkReference } from '../../lib/format/references.js';
import { planRuns } from '../../lib/repository/chunk-stream.js';

const MIB = 1024 * 1024;

/** Chunks that are stored in 1 MiB at the given places: [chunk, segment, position in the segment]. */
function plan(...places: (readonly [number, string, number])[]): Promise<number[][]> {
  return planOf(MIB, places);
}

async function planOf(
  chunkSizeBytes: number,
  places: readonly (readonly [number, string, number])[],
): Promise<number[][]> {
  async function* chunks(): AsyncGenerator<[number, ChunkReference]> {
    for (const [chunk, segment, position] of places) {
      const offsetBytes = 32 + position * MIB;
      await Promise.resolve();
      yield [chunk, { id: 'a', segment, offsetBytes, storedBytes: MIB, codec: 'none' }];
    }
  }
  const runs: number[][] = [];
  for await (const run of planRuns(chunks(), chunkSizeBytes)) runs.push(run.chunks.map(({ chunk }) => chunk));
  return runs;
}

describe('chunks travel together', () => {
  test('when they stand one after the other in a segment, whatever lies between them in the image', async () => {
    expect(await plan([0, 'x', 0], [7, 'x', 1], [8, 'x', 2])).toEqual([[0, 7, 8]]);
  });

  test('not over gaps, backwards, or from segment to segment', async () => {
    expect(await plan([0, 'x', 0], [1, 'x', 2], [2, 'x', 1], [3, 'y', 2])).toEqual([[0], [1], [2], [3]]);
  });

  test('up to 4 MiB', async () => {
    const places = [0, 1, 2, 3, 4, 5].map((chunk) => [chunk, 'x', chunk] as const);
    expect(await plan(...places)).toEqual([
      [0, 1, 2, 3],
      [4, 5],
    ]);
  });

  test('up to 8 MiB when they are decoded', async () => {
    const places = [0, 1, 2, 3].map((chunk) => [chunk, 'x', chunk] as const);
    expect(await planOf(4 * MIB, places)).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });

  test('or not at all when there are none', async () => {
    expect(await plan()).toEqual([]);
  });
});
