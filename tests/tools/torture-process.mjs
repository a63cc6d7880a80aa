/**
 * torture-process.mjs FILE MODEL SEED LANE LANES SIZE: changes a file for as long as it may, only in its own lanes (ranges of 13
 * sectors, so that neighbours share blocks), and checks each read against a plain buffer that follows every change. What fails with
 * ENOSPC or EIO is done again until it succeeds, as a guest does whose disk stops on errors. At SIGTERM it finishes the operation,
 * writes its buffer to MODEL, prints one line of JSON (operations, bytesVerified, errors by name) and ends with status 0; a read
 * that differs ends it with status 1 at once, and says where.
 */
import { fstatSync, fsyncSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { fallocate } from '../../dist/lib/util/syscalls.js';

const LANE_BYTES = 13 * 512;
const PAUSE_MS = 50;
const [file, modelFile, ...numbers] = process.argv.slice(2);
const [seed, lane, lanes, size] = numbers.map(Number);
let state = (seed * 2654435761 + lane * 40503) >>> 0;
const random = (below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};
const pause = new Int32Array(new SharedArrayBuffer(4));
const errors = {};
let operations = 0;
let bytesVerified = 0;
let over = false;
process.on('SIGTERM', () => {
  over = true;
});

function insist(action) {
  for (;;) {
    try {
      action();
      return;
    } catch (error) {
      if (error.code !== 'ENOSPC' && error.code !== 'EIO') throw error;
      errors[error.code] = (errors[error.code] ?? 0) + 1;
      Atomics.wait(pause, 0, 0, PAUSE_MS);
    }
  }
}

function readFully(target, offset) {
  for (let done = 0; done < target.length;) {
    const read = readSync(descriptor, target, done, target.length - done, offset + done);
    if (read === 0) throw new Error(`end of file at ${offset + done} of ${fstatSync(descriptor).size}`);
    done += read;
  }
}

function writeFully(bytes, offset) {
  for (let done = 0; done < bytes.length;)
    done += writeSync(descriptor, bytes, done, bytes.length - done, offset + done);
}

function step() {
  const start = (random(laneCount) * lanes + lane) * LANE_BYTES;
  const offset = start + random(LANE_BYTES - 1);
  const length = 1 + random(Math.min(start + LANE_BYTES, size) - offset);
  const kind = random(20);
  if (kind < 10) {
    const got = Buffer.alloc(length);
    insist(() => readFully(got, offset));
    if (!got.equals(model.subarray(offset, offset + length)))
      throw new Error(
        `operation ${operations} of lane ${lane}, seed ${seed}: a read of ${length} bytes at ${offset} differs`,
      );
    bytesVerified += length;
  } else if (kind < 17) {
    const bytes = Buffer.alloc(length, 1 + random(255));
    insist(() => writeFully(bytes, offset));
    bytes.copy(model, offset);
  } else if (kind < 19) {
    const mode = random(2) === 0 ? 'punch-hole' : 'zero-range-keep-size';
    insist(() => fallocate(descriptor, mode, offset, length));
    model.fill(0, offset, offset + length);
  } else if (random(20) === 0) insist(() => fsyncSync(descriptor));
  operations += 1;
}

const descriptor = openSync(file, 'r+');
const model = Buffer.alloc(size);
const laneCount = Math.floor(size / LANE_BYTES / lanes);
insist(() => readFully(model, 0));

// In slices, so that the signal is heard.
const slice = () => {
  for (let n = 0; n < 50 && !over; n += 1) step();
  if (!over) setImmediate(slice);
  else {
    insist(() => fsyncSync(descriptor));
    writeFileSync(modelFile, model);
    process.stdout.write(`${JSON.stringify({ operations, bytesVerified, errors })}\n`);
  }
};
slice();
