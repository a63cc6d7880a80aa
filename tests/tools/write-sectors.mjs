/**
 * write-sectors.mjs FILE FIRST STEP COUNT VALUE ROUNDS: writes every STEP-th sector of 512 bytes, from FIRST on, COUNT of them,
 * ROUNDS times over, each full of VALUE + round. Two of these with FIRST 0 and 1 and STEP 2 write the two halves of the
 * same kilobytes, so every block is written by both at once.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

const SECTOR = 512;
const [file, ...numbers] = process.argv.slice(2);
const [first, step, count, value, rounds] = numbers.map(Number);
const descriptor = openSync(file, 'r+');
for (let round = 0; round < rounds; round++) {
  const bytes = Buffer.alloc(SECTOR, value + round);
  for (let index = 0; index < count; index++) {
    const written = writeSync(descriptor, bytes, 0, SECTOR, (first + index * step) * SECTOR);
    if (written !== SECTOR) throw new Error(`short write of ${written} bytes`);
  }
}
fsyncSync(descriptor);
closeSync(descriptor);
