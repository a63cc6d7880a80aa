/** Writers that say which of their writes were acknowledged (tests/tools/write-journal.mjs), and a look at what is there of them. */
import { resolve } from 'node:path';
import { readRange } from './contents.js';
import { MIB } from './images.js';
import { start, type Running } from './processes.js';

const TOOL = resolve('tests/tools/write-journal.mjs');
const BLOCK = 4096;
const BLOCKS = (16 * MIB) / BLOCK;
const LANES = 2;

/** Two processes that write the first 16 MiB of a file of zeros for ever; an error ends them. */
export function startWriters(path: string): Running[] {
  return Array.from({ length: LANES }, (_, lane) =>
    start(process.execPath, [TOOL, path, ...[lane, LANES, BLOCKS].map((number) => String(number))]),
  );
}

/** What each block that was written may hold, once the writers have ended. */
export async function acknowledgedBy(writers: readonly Running[]): Promise<Map<number, number[]>> {
  const journals = (await Promise.all(writers.map((writer) => writer.ended))).map((ended) => ended.stdout);
  const may = new Map<number, number[]>();
  for (const line of journals.join('\n').split('\n')) {
    const match = /^([?!]) (\d+) (\d+)$/.exec(line);
    if (match === null) continue;
    const [block, value] = [Number(match[2]), Number(match[3])];
    may.set(block, match[1] === '!' ? [value] : [...(may.get(block) ?? [0]), value]);
  }
  return may;
}

/** The blocks of the file that hold anything else. */
export async function wrongBlocks(path: string, may: ReadonlyMap<number, readonly number[]>): Promise<unknown[]> {
  const disk = await readRange(path, 0, BLOCKS * BLOCK);
  const wrong: unknown[] = [];
  for (let block = 0; block < BLOCKS; block++) {
    const value = valueOf(disk.subarray(block * BLOCK, (block + 1) * BLOCK));
    const allowed = may.get(block) ?? [0];
    if (value === undefined || !allowed.includes(value)) wrong.push({ path, block, value, allowed });
  }
  return wrong;
}

/** The value of a whole block, 0 for zeros; undefined for a mixture. */
function valueOf(bytes: Buffer): number | undefined {
  if (bytes.every((byte) => byte === 0)) return 0;
  const value = Number(bytes.readBigUInt64LE(0) / 65536n);
  for (let offset = 0; offset < BLOCK; offset += 8) {
    if (Number(bytes.readBigUInt64LE(offset)) !== value * 65536 + offset) return undefined;
  }
  return value;
}
