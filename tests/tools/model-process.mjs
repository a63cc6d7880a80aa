/**
 * model-process.mjs FILE MODEL SEED LANE LANES SIZE STEPS DISCARDS: one of several processes that change the same file at once, each only in
 * its own lanes (ranges of 13 sectors, so that neighbours share blocks), and that check each read against a plain buffer.
 * At its end it writes its buffer to MODEL, whose own lanes are what the file must hold, for whoever started it to compare with a
 * snapshot. Operations: reads, writes of any alignment, punches and zero ranges (with DISCARDS 0, writes of zeros instead), fsync.
 */
import { closeSync, fsyncSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { fallocate } from '../../dist/lib/util/syscalls.js';

const LANE_BYTES = 13 * 512;
const [file, modelFile, ...numbers] = process.argv.slice(2);
const [seed, lane, lanes, size, steps, discards] = numbers.map(Number);
let state = (seed * 2654435761 + lane * 40503) >>> 0;
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

const descriptor = openSync(file, 'r+');
const model = Buffer.alloc(size);
readFully(model, 0);
const laneCount = Math.floor(size / LANE_BYTES / lanes);

for (let step = 0; step < steps; step++) {
  const start = (random(laneCount) * lanes + lane) * LANE_BYTES;
  const offset = start + random(LANE_BYTES - 1);
  const length = 1 + random(Math.min(start + LANE_BYTES, size) - offset);
  const kind = random(10);
  if (kind < 4) {
    const got = Buffer.alloc(length);
    readFully(got, offset);
    if (!got.equals(model.subarray(offset, offset + length)))
      throw new Error(`step ${step} of lane ${lane}, seed ${seed}: read of ${length} at ${offset} differs`);
  } else if (kind < 8) {
    const bytes = Buffer.alloc(length, 1 + random(255));
    bytes.copy(model, offset);
    if (writeSync(descriptor, bytes, 0, length, offset) !== length) throw new Error('short write');
  } else if (kind < 9) {
    model.fill(0, offset, offset + length);
    const mode = random(2) === 0 ? 'punch-hole' : 'zero-range-keep-size';
    if (discards === 1) fallocate(descriptor, mode, offset, length);
    else if (writeSync(descriptor, Buffer.alloc(length), 0, length, offset) !== length) throw new Error('short write');
  } else if (random(4) === 0) {
    fsyncSync(descriptor);
  }
}
fsyncSync(descriptor);
closeSync(descriptor);
writeFileSync(modelFile, model);

function readFully(target, offset) {
  for (let done = 0; done < target.length;) {
    const read = readSync(descriptor, target, done, target.length - done, offset + done);
    if (read === 0) throw new Error(`end of file at ${offset + done}`);
    done += read;
  }
}
