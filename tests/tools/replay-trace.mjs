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

let bytes = 0;
const began = process.hrtime.bigint();
for (const { offset, lengthBytes } of reads) {
  const aligned = offset % ALIGNMENT === 0 && lengthBytes % ALIGNMENT === 0;
  const got = readFully(aligned ? direct : buffered, offset, lengthBytes);
  bytes += got.length;
  if (reference !== undefined && !got.equals(readFully(reference, offset, lengthBytes))) {
    throw new Error(`${lengthBytes} bytes at ${offset} of ${file} differ from ${original}`);
  }
}
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
for (const descriptor of [buffered, direct, reference]) if (descriptor !== undefined) closeSync(descriptor);
process.stdout.write(`${JSON.stringify({ reads: reads.length, bytes, seconds })}\n`);

/** All bytes of the range; fewer at the end of the file. */
function readFully(descriptor, offset, lengthBytes) {
  const target = Buffer.alloc(lengthBytes);
  let done = 0;
  while (done < lengthBytes) {
    const read = readSync(descriptor, target, done, lengthBytes - done, offset + done);
    if (read === 0) break;
    done += read;
  }
  return target.subarray(0, done);
}
