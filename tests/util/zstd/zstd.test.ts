import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compress, decompress, HERE_BYTES, implementations } from '../../../lib/util/zstd/zstd.js';
import { frameContentSize } from '../../../lib/util/zstd/frame.js';
import { pseudoRandom, words } from './payloads.js';

const zstds = await implementations();

/** Plain data of every kind that matters: empty, tiny, repeated, text, noise; coded here and on another thread. */
const PAYLOADS: readonly (readonly [string, Buffer])[] = [
  ['nothing', Buffer.alloc(0)],
  ['one byte', Buffer.from('x')],
  ['300 bytes of text', words(300)],
  ['zeros', Buffer.alloc(HERE_BYTES * 3)],
  ['a chunk of text', words(256 * 1024)],
  ['a chunk of noise', pseudoRandom(64 * 1024)],
  ['4 MiB of text and noise', Buffer.concat([words(2 * 1024 * 1024), pseudoRandom(2 * 1024 * 1024)])],
];

test('there is always an implementation, WebAssembly at least', () => {
  expect(zstds.at(-1)?.name).toBe('webassembly');
  expect(new Set(zstds.map(({ name }) => name)).size).toBe(zstds.length);
});

describe.each(zstds.map((zstd) => [zstd.name, zstd] as const))('zstd of the %s', (_, encoder) => {
  describe.each(zstds.map((zstd) => [zstd.name, zstd] as const))('decoded by that of the %s', (_, decoder) => {
    test.each(PAYLOADS)('gives %s back', async (_, payload) => {
      const frame = await encoder.compress(payload, 3);
      expect(frameContentSize(frame)).toBe(payload.length);
      expect(Buffer.compare(await decoder.decompress(frame, payload.length), payload)).toBe(0);
    });
  });

  test.each(['this', 'any'] as const)(
    'decodes the same into memory that was used before (%s thread)',
    async (thread) => {
      const memory = Buffer.alloc(256 * 1024);
      for (const payload of [words(memory.length), pseudoRandom(memory.length), Buffer.alloc(memory.length)]) {
        const frame = await encoder.compress(payload, 1);
        expect(Buffer.compare(await encoder.decompress(frame, memory.length, { into: memory, thread }), payload)).toBe(
          0,
        );
      }
    },
  );

  test('refuses a damaged frame, or gives no more bytes than its header says', async () => {
    const payload = words(256 * 1024);
    const frame = Buffer.from(await encoder.compress(payload, 3));
    for (let at = 0; at < frame.length; at += 997) {
      const damaged = Buffer.from(frame);
      damaged[at]! ^= 0x55;
      const size = frameContentSize(damaged);
      if (size !== payload.length) continue;
      const decoded = await encoder.decompress(damaged, size).catch(() => undefined);
      if (decoded !== undefined) expect(decoded.length).toBeLessThanOrEqual(size);
    }
  });

  test('codes many payloads at once', async () => {
    const payloads = Array.from({ length: 300 }, (_, n) => words(HERE_BYTES + 1 + n * 16));
    const frames = await Promise.all(payloads.map((payload) => encoder.compress(payload, 1)));
    const back = await Promise.all(frames.map((frame, n) => encoder.decompress(frame, payloads[n]!.length)));
    expect(back.every((bytes, n) => payloads[n]!.equals(bytes))).toBe(true);
  });

  test('gives frames that later calls leave alone, also with payloads of other sizes between them', async () => {
    const payloads = Array.from({ length: 60 }, (_, n) => words((1 + (n % 5)) * 40_000 + n));
    const frames: Uint8Array[] = [];
    for (let at = 0; at < payloads.length; at += 20) {
      const some = payloads.slice(at, at + 20).map((payload) => encoder.compress(payload, 1));
      frames.push(...(await Promise.all(some)));
    }
    for (const [n, frame] of frames.entries()) {
      expect(Buffer.compare(await encoder.decompress(frame, payloads[n]!.length), payloads[n]!)).toBe(0);
    }
  });
});

describe('decompress', () => {
  test('gives nothing for a frame of another size than the expected one', async () => {
    const frame = await compress(words(5000), 3);
    expect(await decompress(frame, 4999)).toBeUndefined();
    expect(await decompress(frame, 5001)).toBeUndefined();
    expect((await decompress(frame, 5000))?.length).toBe(5000);
  });

  test('refuses memory of another size than the payload', async () => {
    const frame = await compress(words(5000), 3);
    await expect(decompress(frame, 5000, { into: Buffer.alloc(4999) })).rejects.toThrow(RangeError);
  });

  test('gives nothing for a frame whose blocks hold more than its header says', async () => {
    const frame = Buffer.from(await compress(Buffer.alloc(200, 7), 3));
    expect(frame[5]).toBe(200); // the content size of a single segment below 256 bytes
    frame[5] = 100;
    expect(frameContentSize(frame)).toBe(100);
    expect(await decompress(frame, 100)).toBeUndefined();
  });

  test('gives nothing for any other bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), fc.nat(1000), async (bytes, sizeBytes) => {
        expect(await decompress(bytes, sizeBytes)).toBeUndefined();
      }),
    );
  });
});
