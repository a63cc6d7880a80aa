import { expect, test } from '@jest/globals';
import { parseImageName, parseImageReference, parseSnapshotRange } from '../../mount/cli/image-reference.js';

test('a name may stand alone, with a number, or with a tag', () => {
  expect(parseImageReference('debian-12')).toEqual({ image: 'debian-12', snapshot: { kind: 'none' } });
  expect(parseImageReference('debian-12@3')).toEqual({ image: 'debian-12', snapshot: { kind: 'number', number: 3 } });
  expect(parseImageReference('debian-12:stable')).toEqual({
    image: 'debian-12',
    snapshot: { kind: 'tag', tag: 'stable' },
  });
  expect(parseImageName('a.b_C-9')).toBe('a.b_C-9');
});

test('a range has both ends, one number, or none', () => {
  expect(parseSnapshotRange('vm')).toEqual({ image: 'vm', numbers: undefined });
  expect(parseSnapshotRange('vm@4')).toEqual({ image: 'vm', numbers: { first: 4, last: 4 } });
  expect(parseSnapshotRange('vm@4..9')).toEqual({ image: 'vm', numbers: { first: 4, last: 9 } });
});

test.each([
  '',
  '@1',
  'vm@',
  'vm@0',
  'vm@-1',
  'vm@1.5',
  'vm@1@2',
  'vm@01',
  'vm:',
  ':stable',
  'vm:a:b',
  'vm:stable@3',
  'vm@3:stable',
  'vm:latest',
  'vm:3',
  'vm@123456789',
  'a/b',
  '..',
  '.a',
  'control',
  'x'.repeat(129),
])('%p is refused as an image', (text) => {
  expect(() => parseImageReference(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  expect(() => parseSnapshotRange(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test.each(['vm@..', 'vm@1..', 'vm@..2', 'vm@3..2', 'vm@1..2..3', 'vm@1-2'])('%p is refused as a range', (text) => {
  expect(() => parseSnapshotRange(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test('where an image alone is meant, one with a snapshot is told so', () => {
  for (const text of ['vm@3', 'vm:stable', 'vm@x']) {
    expect(() => parseImageName(text)).toThrow(`Expected an image without a snapshot, as vm, not "${text}".`);
  }
});
