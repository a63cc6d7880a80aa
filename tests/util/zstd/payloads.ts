/** Plain data for tests of coding. */
import { createCipheriv } from 'node:crypto';

/** Text with a number in each line: shrinks to less than a third. */
export function words(lengthBytes: number): Buffer {
  const lines: string[] = [];
  for (let length = 0, line = 0; length < lengthBytes; line++) {
    lines.push(`the ${line}th line of a file of ${lengthBytes} bytes\n`);
    length += lines.at(-1)!.length;
  }
  return Buffer.from(lines.join('')).subarray(0, lengthBytes);
}

/** Bytes that nothing shrinks, the same ones in every run. */
export function pseudoRandom(lengthBytes: number, seed = 1): Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(lengthBytes));
}
