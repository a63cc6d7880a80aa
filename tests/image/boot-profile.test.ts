/** How a boot profile is made, used, merged with the next boot, and shrunk by what is not used. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { MIN_CHUNK_SIZE } from '../../lib/format/geometry.js';
import { decodeBootProfile, encodeBootProfile, MAX_PROFILE_BYTES } from '../../lib/format/profile.js';
import type { BootProfile, ProfileRange } from '../../lib/format/profile.js';
import { chunksOf, isWorthKeeping, mergedRanges, profileBytes } from '../../lib/image/boot-profile.js';

const GRAIN = MIN_CHUNK_SIZE;
const touchedChunks = fc.uniqueArray(fc.nat(300), { maxLength: 60 });
const chunkSizes = fc.constantFrom(GRAIN, 2 * GRAIN, 4 * GRAIN, 16 * GRAIN);

function profileOf(ranges: readonly ProfileRange[]): BootProfile {
  return { formatVersion: 1, imageId: 'a'.repeat(32), timeMs: 1, boots: 1, ranges };
}

test('a profile of touched chunks gives the same chunks in the same order, and survives encoding', () => {
  fc.assert(
    fc.property(touchedChunks, chunkSizes, (touched, chunkSize) => {
      const ranges = mergedRanges([], touched, chunkSize);
      expect(chunksOf(ranges, chunkSize, 301)).toEqual(touched);
      expect(profileBytes(ranges)).toBe(touched.length * chunkSize);
      const profile = profileOf(ranges);
      expect(decodeBootProfile(encodeBootProfile(profile, 'profile'), 'profile')).toEqual(profile);
    }),
  );
});

test('in other chunk sizes it covers the same bytes, and never a chunk beyond the image', () => {
  fc.assert(
    fc.property(touchedChunks, chunkSizes, chunkSizes, fc.nat(400), (touched, one, other, chunks) => {
      const covered = new Set(chunksOf(mergedRanges([], touched, one), other, chunks));
      for (const chunk of covered) expect(chunk).toBeLessThan(chunks);
      for (const chunk of touched) {
        for (let offset = chunk * one; offset < (chunk + 1) * one; offset += GRAIN) {
          const there = Math.floor(offset / other);
          if (there < chunks) expect(covered.has(there)).toBe(true);
        }
      }
    }),
  );
});

test('the next boot comes first, in its order; what it did not touch follows and leaves after three boots', () => {
  fc.assert(
    fc.property(touchedChunks, touchedChunks, chunkSizes, (first, second, chunkSize) => {
      const left = first.filter((chunk) => !second.includes(chunk));
      let ranges = mergedRanges([], first, chunkSize);
      for (const boots of [1, 2]) {
        ranges = mergedRanges(ranges, second, chunkSize);
        expect(chunksOf(ranges, chunkSize, 301)).toEqual([...second, ...left]);
        const unused = ranges.filter(({ unusedBoots }) => unusedBoots > 0);
        expect(unused.every(({ unusedBoots }) => unusedBoots === boots)).toBe(true);
        expect(profileBytes(unused)).toBe(left.length * chunkSize);
      }
      ranges = mergedRanges(ranges, second, chunkSize);
      expect(chunksOf(ranges, chunkSize, 301)).toEqual(second);
    }),
  );
});

test('what is used again is as good as new', () => {
  const ranges = mergedRanges(mergedRanges(mergedRanges([], [1, 2], GRAIN), [1], GRAIN), [2], GRAIN);
  expect(ranges).toEqual([
    { offsetBytes: 2 * GRAIN, lengthBytes: GRAIN, unusedBoots: 0 },
    { offsetBytes: GRAIN, lengthBytes: GRAIN, unusedBoots: 1 },
  ]);
});

test('it is bounded: what was touched last is left out', () => {
  const chunkSize = 4 * 1024 * 1024;
  const touched = Array.from({ length: 300 }, (_, index) => 2 * index);
  const ranges = mergedRanges([], touched, chunkSize);
  expect(profileBytes(ranges)).toBe(MAX_PROFILE_BYTES);
  expect(chunksOf(ranges, chunkSize, 1000)).toEqual(touched.slice(0, 256));
});

test('a boot like the last one is not worth a request; the first one, or another one, is', () => {
  const touched = Array.from({ length: 100 }, (_, index) => index * 2);
  const stored = profileOf(mergedRanges([], touched, GRAIN));
  expect(isWorthKeeping(stored, mergedRanges(stored.ranges, touched, GRAIN))).toBe(false);
  expect(isWorthKeeping(stored, mergedRanges(stored.ranges, [...touched, 1, 3], GRAIN))).toBe(false);
  expect(isWorthKeeping(stored, mergedRanges(stored.ranges, touched.slice(20), GRAIN))).toBe(true);
  expect(isWorthKeeping(null, mergedRanges([], [1], GRAIN))).toBe(true);
  expect(isWorthKeeping(null, [])).toBe(false);
});

describe('a profile from the store that is not one', () => {
  const good = { formatVersion: 1, imageId: 'a'.repeat(32), timeMs: 1, boots: 1 };
  test.each([
    ['an offset within a grain', [[1, GRAIN, 0]]],
    ['a negative offset', [[-GRAIN, GRAIN, 0]]],
    ['an offset beyond every image', [[2 ** 53, GRAIN, 0]]],
    ['no bytes', [[0, 0, 0]]],
    ['more boots than a range may go unused', [[0, GRAIN, 3]]],
    ['more bytes than any boot', [[0, MAX_PROFILE_BYTES, 0], [MAX_PROFILE_BYTES, GRAIN, 0]]], // prettier-ignore
    ['no list of ranges', 'all'],
    ['more ranges than there may be', Array.from({ length: 16_385 }, () => [0, GRAIN, 0])],
  ])('%s is damage', (_what, ranges) => {
    const bytes = Buffer.from(JSON.stringify({ ...good, ranges }));
    expect(() => decodeBootProfile(bytes, 'images/vm/profile.json')).toThrow('images/vm/profile.json is damaged');
  });

  test('a document that is too long is refused before it is parsed', () => {
    const bytes = Buffer.from(`${' '.repeat(1024 * 1024)}{}`);
    expect(() => decodeBootProfile(bytes, 'images/vm/profile.json')).toThrow('bytes, at most');
  });
});
