// A worker that reads slots through a slot map by the rule of lib/mirror/worker-fence.ts, and counts wrong bytes. Plain
// JavaScript: a worker thread does not go through the transformation of the tests.
import { readSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

const { words, wordIndex, map, referenced, descriptor, chunkSizeBytes, counters, dawdle } = workerData;
const [STOP, READS, WRONG] = [0, 1, 2];
const FIRST_SLOT = 2;
const bytes = Buffer.alloc(64);
let random = 12345 + wordIndex;

while (Atomics.load(counters, STOP) === 0) {
  random = (Math.imul(random, 1103515245) + 12345) >>> 0;
  const chunk = (random >>> 8) % map.length;
  const offset = ((random >>> 4) % ((chunkSizeBytes - bytes.length) / 4)) * 4;
  Atomics.add(words, wordIndex, 1); // busy
  const word = Atomics.load(map, chunk);
  if (word >= FIRST_SLOT) {
    const slot = word - FIRST_SLOT;
    for (let spins = 0; spins < dawdle; spins++) Atomics.load(counters, STOP);
    readSync(descriptor, bytes, 0, bytes.length, slot * chunkSizeBytes + offset);
    referenced[slot] = 1;
    let isRight = true;
    for (let at = 0; at < bytes.length; at += 4) {
      if (bytes.readUInt32LE(at) !== ((chunk + 1) * 2654435761 + offset + at) % 2 ** 32) isRight = false;
    }
    Atomics.add(counters, READS, 1);
    if (!isRight) Atomics.add(counters, WRONG, 1);
  }
  Atomics.add(words, wordIndex, 1); // idle
}
