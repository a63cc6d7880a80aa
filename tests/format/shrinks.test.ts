import { expect, test } from '@jest/globals';
import { encodePayload } from '../../lib/format/codec.js';
import { mayShrink } from '../../lib/format/shrinks.js';
import { pseudoRandom } from '../util/zstd/payloads.js';

const CHUNK = 256 * 1024;
const LEVEL = 1;

test('noise will not shrink, text and zeros may', async () => {
  expect(await mayShrink(pseudoRandom(CHUNK), LEVEL)).toBe(false);
  expect(await mayShrink(Buffer.alloc(CHUNK, 'a line of a log file, again and again\n'), LEVEL)).toBe(true);
  expect(await mayShrink(Buffer.alloc(CHUNK), LEVEL)).toBe(true);
});

test('a chunk of which an eighth is not noise may shrink, wherever that lies', async () => {
  for (let eighth = 0; eighth < 8; eighth++) {
    const bytes = pseudoRandom(CHUNK).fill(0, (eighth * CHUNK) / 8, ((eighth + 1) * CHUNK) / 8);
    expect(await mayShrink(bytes, LEVEL)).toBe(true);
  }
});

test('a small payload is tried as a whole', async () => {
  expect(await mayShrink(pseudoRandom(4096), LEVEL)).toBe(true);
});

test('what will not shrink is stored as it is, in the very bytes that were given', async () => {
  const bytes = pseudoRandom(CHUNK);
  expect(await encodePayload('zstd', bytes)).toEqual({ codec: 'none', stored: bytes });
  expect((await encodePayload('zstd', bytes)).stored).toBe(bytes);
  expect((await encodePayload('zstd', Buffer.alloc(CHUNK, 'text'))).codec).toBe('zstd');
});
