import { expect, test } from '@jest/globals';
import { DecodeBuffers } from '../../lib/mirror/decode-buffers.js';

test('memory that was given back is taken again, by one', () => {
  const buffers = new DecodeBuffers();
  const [one, two] = [buffers.take(4096), buffers.take(4096)];
  expect(two).not.toBe(one);
  buffers.giveBack(one);
  expect(buffers.take(4096)).toBe(one);
  expect([one, two]).not.toContain(buffers.take(4096));
});

test('memory of another size is not taken', () => {
  const buffers = new DecodeBuffers();
  buffers.giveBack(buffers.take(4096));
  expect(buffers.take(8192)).toHaveLength(8192);
});

test('after clear() nothing is kept', () => {
  const buffers = new DecodeBuffers();
  const one = buffers.take(4096);
  buffers.giveBack(one);
  buffers.clear();
  expect(buffers.take(4096)).not.toBe(one);
});
