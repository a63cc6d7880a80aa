/**
 * From writes to lines: collects the bytes of one descriptor until a newline ends a command.
 *
 * Bytes are kept as bytes until their line is whole, so that a character may be split over two writes. What is not UTF-8 is
 * refused, not repaired. A line that grows beyond the limit is refused and forgotten.
 */
import { LazydiskError } from '../../../lib/util/errors.js';

/** Longest line without its newline, bytes. */
export const MAX_LINE_BYTES = 4096;

const NEWLINE = 0x0a;

export class LineBuffer {
  #pending: Buffer = Buffer.alloc(0);

  /** Adds bytes and takes out the lines that they complete. USAGE when a line is too long; nothing is pending then. */
  add(bytes: Uint8Array): Buffer[] {
    const all = Buffer.concat([this.#pending, bytes]);
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = all.indexOf(NEWLINE); end >= 0; end = all.indexOf(NEWLINE, start)) {
      lines.push(all.subarray(start, end));
      start = end + 1;
    }
    this.#pending = Buffer.from(all.subarray(start));
    if (this.#pending.length > MAX_LINE_BYTES || lines.some((line) => line.length > MAX_LINE_BYTES)) {
      this.clear();
      throw new LazydiskError('USAGE', `Expected a line of at most ${MAX_LINE_BYTES} bytes, got a longer one.`);
    }
    return lines;
  }

  /** What was written after the last newline, taken out; undefined when there is nothing. */
  takeRest(): Buffer | undefined {
    const rest = this.#pending;
    this.clear();
    return rest.length === 0 ? undefined : rest;
  }

  clear(): void {
    this.#pending = Buffer.alloc(0);
  }
}

/** The text of a line. USAGE when it is not UTF-8. */
export function decodeLine(line: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line);
  } catch (error) {
    throw new LazydiskError('USAGE', 'Expected a line of UTF-8 text, got other bytes.', { cause: error });
  }
}
