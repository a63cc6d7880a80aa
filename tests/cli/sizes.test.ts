import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatSize, parseRate, parseSize } from '../../mount/cli/sizes.js';

test.each([
  ['0', 0],
  ['1048576', 1048576],
  ['256K', 262144],
  ['256k', 262144],
  ['1M', 1048576],
  ['1MiB', 1048576],
  ['1.5G', 1610612736],
  ['2TB', 2199023255552],
  [' 10 G ', 10737418240],
])('%s is %d bytes', (text, bytes) => {
  expect(parseSize(text, '--x')).toBe(bytes);
});

test.each(['', 'K', '-1', '1,5G', '1X', '0.3', '1e9', '1GG', '99999999999T', 'NaN'])('%p is no size', (text) => {
  expect(() => parseSize(text, '--cache-size')).toThrow(expect.objectContaining({ code: 'USAGE' }));
  expect(() => parseSize(text, '--cache-size')).toThrow(/--cache-size/);
});

test('a rate is a size that is not below its least', () => {
  expect(parseRate('256K', '--max-x', 262144)).toBe(262144);
  expect(() => parseRate('255K', '--max-x', 262144)).toThrow('--max-x must be at least 256 KiB a second, not 255K.');
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [1536, '1.5 KiB'],
  [262144, '256 KiB'],
  [10 * 1024 ** 3, '10 GiB'],
  [8 * 1024 ** 4, '8 TiB'],
])('%d bytes are shown as %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});

test('what is shown is within one percent of the size', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8 * 1024 ** 4 }), (bytes) => {
      const shown = parseFloatSize(formatSize(bytes));
      expect(Math.abs(shown - bytes)).toBeLessThanOrEqual(bytes / 100);
    }),
  );
});

function parseFloatSize(text: string): number {
  const [value, unit] = text.split(' ');
  return Number(value) * 1024 ** ['B', 'KiB', 'MiB', 'GiB', 'TiB'].indexOf(unit ?? '');
}
