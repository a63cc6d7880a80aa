/**
 * replay-trace.mjs FILE TRACE [ORIGINAL]: makes the reads of a trace, one after the other as fast as they come (its times are
 * not kept), with O_DIRECT where offset and length are multiples of 4 KiB. With ORIGINAL every byte is compared with that
 * file. Prints one line of JSON: reads, bytes, seconds.
 *
 * A trace has a line per request: `milliseconds op offset length`, op r (read), w, t (trim), z (zero), f (flush).
 * tests/fixtures/boot-trace.txt is what a Debian guest asked of its disk until it was up.
 */
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';

const ALIGNMENT = 4096;
const [file, trace, original] = process.argv.slice(2);
const reads = readFileSync(trace, 'utf8')
  .split('\n')
  .map((line) => /^[\d.]+ r (\d+) (\d+)$/.exec(line))
  .filter((match) => match !== null)
  .map((match) => ({ offset: Number(match[1]), lengthBytes: Number(match[2]) }));

const buffered = openSync(file, constants.O_RDONLY);
const direct = openSync(file, constants.O_RDONLY | constants.O_DIRECT);
const reference = original === undefined ? undefined : openSync(original, constants.O_RDONLY);
const longest = Math.max(...reads.map(({ lengthBytes }) => lengthBytes));
const target = alignedBuffer();
const expected = Buffer.alloc(longest);

let bytes = 0;
const began = process.hrtime.bigint();
for (const { offset, lengthBytes } of reads) {
  const aligned = offset % ALIGNMENT === 0 && lengthBytes % ALIGNMENT === 0;
  const got = readFully(aligned ? direct : buffered, target, offset, lengthBytes);
  bytes += got.length;
  if (reference !== undefined && !got.equals(readFully(reference, expected, offset, lengthBytes))) {
    throw new Error(`${lengthBytes} bytes at ${offset} of ${file} differ from ${original}`);
  }
}
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
for (const descriptor of [buffered, direct, reference]) if (descriptor !== undefined) closeSync(descriptor);
process.stdout.write(`${JSON.stringify({ reads: reads.length, bytes, seconds })}\n`);

/** All bytes of the range, in `buffer`; fewer at the end of the file. */
function readFully(descriptor, buffer, offset, lengthBytes) {
  let done = 0;
  while (done < lengthBytes) {
    const read = readSync(descriptor, buffer, done, lengthBytes - done, offset + done);
    if (read === 0) break;
    done += read;
  }
  return buffer.subarray(0, done);
}

/** Memory that O_DIRECT takes on any file system. Node does not tell addresses, so the right start is found by trying. */
function alignedBuffer() {
  const memory = Buffer.alloc(longest + ALIGNMENT);
  for (let start = 0; start < ALIGNMENT; start += 16) {
    const candidate = memory.subarray(start, start + longest);
    try {
      readSync(direct, candidate, 0, ALIGNMENT, 0);
      return candidate;
    } catch (error) {
      if (error.code !== 'EINVAL') throw error;
    }
  }
  throw new Error(`${file} can't be read with O_DIRECT`);
}
