/** Buffers of chunks: used again, never while somebody reads them. */
import { expect, test } from '@jest/globals';

import { ChunkBuffers } from '../../lib/image/chunk-buffers.js';

const CHUNK = 65_536;

test('a buffer that was given back is used again', () => {
  const buffers = new ChunkBuffers(CHUNK);
  const first = buffers.take();
  const second = buffers.take();
  expect(first.length).toBe(CHUNK);
  expect(second).not.toBe(first);
  buffers.giveBack(first);
  expect(buffers.take()).toBe(first);
  expect(buffers.take()).not.toBe(first);
});

test('a buffer that somebody else reads is spare only when both have done', async () => {
  const buffers = new ChunkBuffers(CHUNK);
  const bytes = buffers.take();
  let end = (): void => undefined;
  buffers.alsoReadBy(bytes, new Promise((resolve) => (end = resolve)));
  buffers.giveBack(bytes);
  expect(buffers.take()).not.toBe(bytes);
  end();
  await new Promise(setImmediate);
  expect(buffers.take()).toBe(bytes);
});

test('a reader that has done before the buffer is given back holds up nothing, nor the next use', async () => {
  const buffers = new ChunkBuffers(CHUNK);
  const bytes = buffers.take();
  buffers.alsoReadBy(bytes, Promise.resolve());
  await new Promise(setImmediate);
  buffers.giveBack(bytes);
  await new Promise(setImmediate);
  expect(buffers.take()).toBe(bytes);
  buffers.giveBack(bytes);
  expect(buffers.take()).toBe(bytes);
});
