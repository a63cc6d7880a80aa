import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { summarise } from './statistics.js';

describe('a summary', () => {
  test('of nothing is nothing', () => {
    expect(summarise([])).toBeUndefined();
  });

  test('has the middle of an odd number of values', () => {
    expect(summarise([3, 1, 20])).toEqual({ median: 3, least: 1, most: 20, rounds: 3 });
  });

  test('has the mean of the two in the middle of an even number', () => {
    expect(summarise([4, 1, 2, 100])).toEqual({ median: 3, least: 1, most: 100, rounds: 4 });
  });

  test('has as many values below its median as above', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1 }), (values) => {
        const { median = NaN, least, most } = summarise(values) ?? {};
        const below = values.filter((value) => value < median).length;
        const above = values.filter((value) => value > median).length;
        expect(Math.max(below, above)).toBeLessThanOrEqual(values.length / 2);
        expect([least, most]).toEqual([Math.min(...values), Math.max(...values)]);
      }),
    );
  });
});
