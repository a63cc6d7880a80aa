/** Pictures as they travel: a page that has the first and all changes has the last. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CHUNK_STATES, type ChunkState } from '../../lib/image/picture-cells.js';
import type { ImagePicture } from '../../lib/image/picture.js';
import { changeMessage, mapMessage } from '../../mount/dashboard/map-messages.js';
import { MapModel } from '../../mount/dashboard/page/map-model.js';

function picture(cells: readonly number[], local = 0): ImagePicture {
  const counts = Object.fromEntries(CHUNK_STATES.map((name) => [name, 0])) as Record<ChunkState, number>;
  return {
    sizeBytes: cells.length * 65_536,
    chunkSizeBytes: 65_536,
    chunks: cells.length,
    chunksPerCell: 1,
    cells: Uint8Array.from(cells),
    counts: { ...counts, local },
  };
}

test('nothing travels when nothing has changed', () => {
  expect(changeMessage(picture([1, 2, 3]), picture([1, 2, 3]))).toBeUndefined();
});

test('what is close travels together, what is far apart does not', () => {
  const before = picture(Array(200).fill(2) as number[]);
  const cells = [...before.cells];
  for (const cell of [0, 5, 150]) cells[cell] = 3;
  const change = changeMessage(before, picture(cells, 3))!;
  expect(change.stretches.map(([first, text]) => [first, Buffer.from(text, 'base64').length])).toEqual([
    [0, 6],
    [150, 1],
  ]);
  expect(change.counts.local).toBe(3);
});

test('a disk of another size travels whole', () => {
  expect(changeMessage(picture([1]), picture([1, 1]))).toBeNull();
});

test('the page has what the daemon has, after any changes', () => {
  const cells = fc.array(fc.integer({ min: 0, max: 63 }), { minLength: 60, maxLength: 60 });
  fc.assert(
    fc.property(fc.array(cells, { minLength: 1, maxLength: 6 }), (states) => {
      const model = new MapModel();
      let before: ImagePicture | undefined;
      for (const state of states) {
        const now = picture(state);
        const change = before && changeMessage(before, now);
        if (before === undefined) model.replace(mapMessage('disk', now));
        else if (change) model.change(change);
        before = now;
      }
      expect([...model.cells]).toEqual(states.at(-1));
    }),
  );
});
