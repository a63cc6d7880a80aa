import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  assertImageName,
  isImageName,
  parseKey,
  profileKey,
  segmentKey,
  snapshotKey,
  tombstoneKey,
  writerKey,
} from '../../lib/format/keys.js';
import { imageNames, numbers, randomIds } from './examples.js';

describe('keys', () => {
  test('say what they were made from', () => {
    fc.assert(
      fc.property(imageNames, numbers, randomIds, (image, number, segment) => {
        expect(parseKey(snapshotKey(image, number))).toEqual({ kind: 'snapshot', image, number });
        expect(parseKey(tombstoneKey(image, number))).toEqual({ kind: 'tombstone', image, number });
        expect(parseKey(writerKey(image))).toEqual({ kind: 'writer', image });
        expect(parseKey(profileKey(image))).toEqual({ kind: 'profile', image });
        expect(parseKey(segmentKey(segment))).toEqual({ kind: 'segment', segment });
      }),
    );
  });

  test('are spelled with eight digits', () => {
    expect(snapshotKey('debian-12', 3)).toBe('images/debian-12/snapshots/00000003.json');
    expect(tombstoneKey('debian-12', 3)).toBe('images/debian-12/deleted/00000003.json');
  });

  test.each([
    'images/vm/snapshots/3.json',
    'images/vm/snapshots/00000000.json',
    'images/vm/snapshots/00000003.json.tmp',
    'images/../snapshots/00000003.json',
    'images/control/writer.json',
    'images/vm/other/00000003.json',
    'segments/ABCD',
    'other',
    '',
  ])('that are none of ours are passed over: %j', (key) => {
    expect(parseKey(key)).toBeUndefined();
  });

  test.each([0, -1, 1.5, 100_000_000, Number.NaN])('are not made from the number %p', (number) => {
    expect(() => snapshotKey('vm', number)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('names of images', () => {
  test.each(['a', 'debian-12', 'A.b_c', '0', 'x'.repeat(128), 'control2'])('may be %s', (name) => {
    expect(isImageName(name)).toBe(true);
  });

  test.each(['', '.', '..', '-a', '_a', 'a/b', 'a b', 'ä', 'x'.repeat(129), 'control', 'status', 'metrics', 'a\n'])(
    'may not be %j',
    (name) => {
      expect(() => assertImageName(name)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );
});
