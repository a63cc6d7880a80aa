/**
 * write-journal.mjs FILE LANE LANES BLOCKS: writes random blocks of 4 KiB for ever, one at a time, only those whose number is
 * LANE modulo LANES. It prints `? block value` before a write and `! block value` once the write has returned. So whoever
 * kills the file system under it knows which writes were acknowledged; only the last announced one is unknown.
 */
import { openSync, writeSync } from 'node:fs';

const BLOCK = 4096;
const [file, ...numbers] = process.argv.slice(2);
const [lane, lanes, blocks] = numbers.map(Number);
let state = lane + 1;
const descriptor = openSync(file, 'r+');
for (let value = 1; ; value++) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  const block = ((state >>> 8) % Math.floor(blocks / lanes)) * lanes + lane;
  const bytes = Buffer.alloc(BLOCK);
  for (let offset = 0; offset < BLOCK; offset += 8) bytes.writeBigUInt64LE(BigInt(value * 65536 + offset), offset);
  writeSync(1, `? ${block} ${value}\n`);
  if (writeSync(descriptor, bytes, 0, BLOCK, block * BLOCK) !== BLOCK) throw new Error('short write');
  writeSync(1, `! ${block} ${value}\n`);
}
