/** What readers note of the chunks they ask for. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { CONTROL_WORDS } from '../../lib/image/plane.js';
import type { Plane } from '../../lib/image/plane.js';
import { MISS, readHere } from '../../lib/image/serve.js';
import { Touches } from '../../lib/image/touches.js';
import { SLOT_ZERO } from '../../lib/mirror/api.js';

const CHUNK = 64 * 1024;

/** A plane of which every chunk is missing, but for the zeros. */
function planeOver(touches: Touches, chunks: number, zeros: ReadonlySet<number> = new Set()): Plane {
  const slots = new Int32Array(new SharedArrayBuffer(chunks * 4));
  for (const chunk of zeros) slots[chunk] = SLOT_ZERO;
  return {
    key: 1,
    control: new Uint32Array(new SharedArrayBuffer(CONTROL_WORDS * 4)),
    writable: false,
    chunkSizeBytes: CHUNK,
    slots,
    slotCount: chunks,
    slotDescriptor: -1,
    slotReferenced: null,
    touches: touches.plane,
    layers: [],
  };
}

function read(plane: Plane, chunk: number): number {
  return readHere(plane, chunk * CHUNK, 4096, Buffer.alloc(4096), 0, undefined);
}

test('the log holds each chunk once, in the order in which it was first asked for, whether it is here or not', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(63), { maxLength: 200 }),
      fc.uniqueArray(fc.nat(63), { maxLength: 20 }),
      (chunks, zeros) => {
        const touches = new Touches(64);
        const isZero = new Set(zeros);
        const plane = planeOver(touches, 64, isZero);
        for (const chunk of chunks) expect(read(plane, chunk)).toBe(isZero.has(chunk) ? 4096 : MISS);
        const expected = [...new Set(chunks)].filter((chunk) => !isZero.has(chunk));
        expect(touches.inOrder()).toEqual(expected);
        expect(touches.inOrder(3)).toEqual(expected.slice(3));
        expect(touches.count()).toBe(expected.length);
        for (let chunk = 0; chunk < 64; chunk++) expect(touches.has(chunk)).toBe(expected.includes(chunk));
      },
    ),
  );
});

test('a marked chunk wakes once, whether it was touched before or not, and is logged once', async () => {
  const touches = new Touches(8);
  const plane = planeOver(touches, 8);
  read(plane, 2);
  touches.mark(2);
  touches.mark(5);
  expect([touches.isMarked(2), touches.has(2), touches.has(5)]).toEqual([true, true, false]);
  const seen = touches.wakes();
  const woken = touches.woken(seen);
  read(plane, 5);
  read(plane, 5);
  await woken;
  expect(touches.wakes()).toBe(seen + 1);
  read(plane, 2);
  expect(touches.wakes()).toBe(seen + 2);
  expect(touches.inOrder()).toEqual([2, 5]);
});

test('a mark that is taken back wakes nobody', () => {
  const touches = new Touches(8);
  touches.mark(1);
  touches.unmark(1);
  read(planeOver(touches, 8), 1);
  expect(touches.wakes()).toBe(0);
});

test('a log that is full goes on counting and keeps what came first', () => {
  const touches = new Touches(8, 3);
  const plane = planeOver(touches, 8);
  for (const chunk of [7, 1, 3, 0, 2]) read(plane, chunk);
  expect(touches.inOrder()).toEqual([7, 1, 3]);
  expect(touches.count()).toBe(5);
  expect(touches.has(2)).toBe(true);
});

test('what is taken over comes before what is touched then, and chunks beyond the end are left out', () => {
  const earlier = new Touches(8);
  for (const chunk of [6, 1, 2]) read(planeOver(earlier, 8), chunk);
  const later = new Touches(4);
  later.takeOver(earlier);
  for (const chunk of [3, 1]) read(planeOver(later, 4), chunk);
  expect(later.inOrder()).toEqual([1, 2, 3]);
});

test('a base without chunks notes nothing', () => {
  const touches = new Touches(0);
  touches.mark(0);
  touches.wake();
  expect([touches.plane, touches.count(), touches.inOrder()]).toEqual([null, 0, []]);
});
