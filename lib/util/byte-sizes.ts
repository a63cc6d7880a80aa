/** Sizes as people write them: `256K`, `1.5G`, `1048576`. K, M, G and T are powers of 1024, as in QEMU and truncate(1). */
const UNITS = ['', 'K', 'M', 'G', 'T'];
const SIZE = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i;

/** The bytes; undefined when it is no size, or no whole number of bytes. */
export function bytesOf(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match === null) return undefined;
  const bytes = Number(match[1]) * 1024 ** UNITS.indexOf((match[2] ?? '').toUpperCase());
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
