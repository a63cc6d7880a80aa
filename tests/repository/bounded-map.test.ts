import { expect, test } from '@jest/globals';
import { BoundedMap } from '../../lib/repository/bounded-map.js';

test('a bounded map forgets what was used longest ago, and nothing else', () => {
  const map = new BoundedMap<string, number>(3);
  for (const [index, key] of ['a', 'b', 'c'].entries()) map.set(key, index);
  expect(map.get('a')).toBe(0);
  map.set('d', 3);
  expect(map.size).toBe(3);
  expect(['a', 'b', 'c', 'd'].map((key) => map.get(key))).toEqual([0, undefined, 2, 3]);
  map.set('a', 9);
  map.delete('c');
  expect(['a', 'c', 'd'].map((key) => map.get(key))).toEqual([9, undefined, 3]);
});
