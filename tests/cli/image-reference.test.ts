import { expect, test } from '@jest/globals';
import { parseImageName, parseImageReference, parseSnapshotRange } from '../../mount/cli/image-reference.js';

test('a name may stand alone or with a number', () => {
  expect(parseImageReference('debian-12')).toEqual({ image: 'debian-12', number: undefined });
  expect(parseImageReference('debian-12@3')).toEqual({ image: 'debian-12', number: 3 });
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
