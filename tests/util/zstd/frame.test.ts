import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compress } from '../../../lib/util/zstd/zstd.js';
import { frameContentSize } from '../../../lib/util/zstd/frame.js';
import { words } from './payloads.js';

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
/** The last block of a frame: RLE, so that it stands for any number of bytes. */
const rleBlock = (lengthBytes: number) => {
  const header = 1 | (1 << 1) | (lengthBytes << 3);
  return [header & 255, (header >> 8) & 255, header >> 16, 0x41];
};

describe('the content size of a frame', () => {
  test('is read in each of its forms', () => {
    const sizes = (descriptor: number, field: number[]) =>
      frameContentSize(Uint8Array.from([...MAGIC, descriptor, ...field, ...rleBlock(7)]));
    expect(sizes(0x20, [7])).toBe(7);
    expect(sizes(0x60, [7, 1])).toBe(256 + 7 + 256);
    expect(sizes(0xa0, [7, 0, 0, 1])).toBe(2 ** 24 + 7);
    expect(sizes(0xe0, [7, 0, 0, 0, 0, 1, 0, 0])).toBe(2 ** 40 + 7);
    expect(sizes(0x80, [0, 7, 0, 0, 0])).toBe(7); // with a window, not a single segment
  });

  test('is not told when the header does not say it, needs a dictionary, or has a reserved bit', () => {
    const whole = (descriptor: number, field: number[]) =>
      frameContentSize(Uint8Array.from([...MAGIC, descriptor, ...field, ...rleBlock(7)]));
    expect(whole(0x00, [0])).toBeUndefined();
    expect(whole(0x21, [1, 7])).toBeUndefined();
    expect(whole(0x28, [7])).toBeUndefined();
  });

  test('counts a checksum after the last block', () => {
    const frame = [...MAGIC, 0x24, 7, ...rleBlock(7)];
    expect(frameContentSize(Uint8Array.from(frame))).toBeUndefined();
    expect(frameContentSize(Uint8Array.from([...frame, 1, 2, 3, 4]))).toBe(7);
  });

  test('is told for a whole frame only: not for a part, nor for more', async () => {
    for (const lengthBytes of [0, 1, 255, 256, 70_000, 300_000]) {
      const frame = Buffer.from(await compress(words(lengthBytes), 3));
      expect(frameContentSize(frame)).toBe(lengthBytes);
      for (let length = 0; length < frame.length; length += 1 + Math.floor(frame.length / 100)) {
        expect(frameContentSize(frame.subarray(0, length))).toBeUndefined();
      }
      expect(frameContentSize(Buffer.concat([frame, Buffer.alloc(1)]))).toBeUndefined();
      expect(frameContentSize(Buffer.concat([frame, frame]))).toBeUndefined();
    }
  });

  test('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (rest) => {
        const size = frameContentSize(Uint8Array.from([...MAGIC, ...rest]));
        expect(size === undefined || size >= 0).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
