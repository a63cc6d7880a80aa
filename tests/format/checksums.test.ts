import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32, isZero, randomId, sha256, sha256OffThread } from '../../lib/format/checksums.js';
import { isRandomId } from '../../lib/format/ids.js';

describe('checksums', () => {
  test('are the well-known ones', () => {
    expect(sha256(Buffer.from('abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926);
  });

  test('are the same on this thread and off it, for shared bytes too', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(1000)).fill(7);
    expect(await sha256OffThread(shared)).toBe(sha256(shared));
    await fc.assert(
      fc.asyncProperty(fc.uint8Array(), async (bytes) => {
        expect(await sha256OffThread(bytes)).toBe(sha256(bytes));
      }),
    );
  });

  test('continue from one part to the next', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(crc32(b, crc32(a))).toBe(crc32(Buffer.concat([a, b])));
      }),
    );
  });
});

describe('zeros', () => {
  test('are found at every length', () => {
    for (const length of [0, 1, 4096, 65535, 65536, 65537, 300_000]) expect(isZero(new Uint8Array(length))).toBe(true);
  });

  test('are told from a single bit anywhere', () => {
    fc.assert(
      fc.property(fc.nat(300_000), fc.nat(7), (at, bit) => {
        const bytes = new Uint8Array(300_001);
        bytes[at] = 1 << bit;
        expect(isZero(bytes)).toBe(false);
      }),
    );
  });
});

test('random ids look like ids and differ', () => {
  const ids = Array.from({ length: 100 }, randomId);
  expect(ids.every(isRandomId)).toBe(true);
  expect(new Set(ids).size).toBe(100);
});
