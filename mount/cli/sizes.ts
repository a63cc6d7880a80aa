/** Sizes as people write and read them. K, M, G and T are powers of 1024, as in QEMU and truncate(1). */
import { bytesOf } from '../../lib/util/byte-sizes.js';
import { LazydiskError } from '../../lib/util/errors.js';

const UNITS = ['', 'K', 'M', 'G', 'T'];

/** Bytes of `256K`, `1.5G`, `1048576`. `option` names the option in the error (USAGE). */
export function parseSize(text: string, option: string): number {
  const bytes = bytesOf(text);
  if (bytes !== undefined) return bytes;
  throw new LazydiskError(
    'USAGE',
    `${option} takes a size such as 256K, 1M or 10G, a whole number of bytes; ${JSON.stringify(text)} is not one.`,
  );
}

/** Bytes a second of `20M`: a size, and at least `least` (USAGE). */
export function parseRate(text: string, option: string, least: number): number {
  const bytesPerSecond = parseSize(text, option);
  if (bytesPerSecond >= least) return bytesPerSecond;
  throw new LazydiskError('USAGE', `${option} must be at least ${formatSize(least)} a second, not ${text}.`);
}

/** `1.5 GiB`: at most three digits that matter. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  if (unit === 0) return `${String(bytes)} B`;
  return `${value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2).replace(/\.?0+$/, '')} ${UNITS[unit] ?? ''}iB`;
}
