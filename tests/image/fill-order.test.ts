/** The order in which an image is filled. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { fillRanges } from '../../lib/image/fill-order.js';

function orderOf(touched: readonly number[], chunks: number, radius: number): number[] {
  const seen = new Set<number>();
  for (const { first, end } of fillRanges(touched, chunks, radius)) {
    for (let chunk = first; chunk < end; chunk++) seen.add(chunk);
  }
  return [...seen];
}

function distance(chunk: number, touched: readonly number[]): number {
  return Math.min(...touched.map((one) => Math.abs(one - chunk)));
}

test('every chunk of the image comes, none beyond it, and no range is empty', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(600), { maxLength: 12 }),
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 9 }),
      (touched, chunks, radius) => {
        for (const { first, end } of fillRanges(touched, chunks, radius)) expect(first).toBeLessThan(end);
        const order = orderOf(touched, chunks, radius);
        expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: chunks }, (_, chunk) => chunk));
      },
    ),
  );
});

test('no chunk of a circle comes before all of the circle inside it', () => {
  const circleOf = (steps: number, radius: number): number =>
    steps <= radius ? 0 : Math.ceil(Math.log(steps / radius) / Math.log(4) - 1e-9);
  fc.assert(
    fc.property(fc.array(fc.nat(499), { minLength: 1, maxLength: 8 }), (touched) => {
      const circles = orderOf(touched, 500, 4).map((chunk) => circleOf(distance(chunk, touched), 4));
      expect(circles).toEqual([...circles].sort((a, b) => a - b));
    }),
  );
});

test('around the last touched chunk it begins; without any, at the start of the image', () => {
  expect(orderOf([100, 300], 1000, 2).slice(0, 10)).toEqual([298, 299, 300, 301, 302, 98, 99, 100, 101, 102]);
  expect(orderOf([], 4, 2)).toEqual([0, 1, 2, 3]);
});
