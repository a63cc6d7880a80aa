import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  assertImageName,
  assertTagName,
  isImageName,
  isTagName,
  parseKey,
  profileKey,
  segmentKey,
  snapshotKey,
  tagKey,
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
        expect(parseKey(tagKey(image, `v${number}`))).toEqual({ kind: 'tag', image, tag: `v${number}` });
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
    'images/vm/tags/3.json',
    'images/vm/tags/latest.json',
    'images/vm/tags/a/b.json',
    'images/../tags/stable.json',
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

describe('names of tags', () => {
  test.each(['stable', '2026-01', '1.0', '3a', 'x'.repeat(128)])('may be %s', (tag) => {
    expect(isTagName(tag)).toBe(true);
  });

  // Each would be the name of another file of the image's folder, or of none.
  test.each(['', '3', '0012', 'latest', 'disk', '.x', '-x', 'a/b', 'a b', 'x'.repeat(129), 'a\n'])(
    'may not be %j',
    (tag) => {
      expect(() => assertTagName(tag)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );
});
