import { describe, expect, test } from '@jest/globals';
import { resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { commit, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { start } from '../helpers/processes.js';
import { REPOSITORY_KINDS } from '../helpers/repositories.js';
import { waitFor } from '../helpers/waiting.js';

const TOOL = resolve('tests/tools/write-journal.mjs');
const BLOCK = 4096;
const BLOCKS = (16 * MIB) / BLOCK;
const LANES = 2;

/** What each block may hold, from the lines of tests/tools/write-journal.mjs. */
function acknowledged(journals: readonly string[]): Map<number, number[]> {
  const may = new Map<number, number[]>();
  for (const line of journals.join('\n').split('\n')) {
    const match = /^([?!]) (\d+) (\d+)$/.exec(line);
    if (match === null) continue;
    const [block, value] = [Number(match[2]), Number(match[3])];
    may.set(block, match[1] === '!' ? [value] : [...(may.get(block) ?? [0]), value]);
  }
  return may;
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

describe.each(REPOSITORY_KINDS)('kill -9 of the daemon under writes (%s)', (kind) => {
  cleanUpAfter('each');

  // S19
  test('the next mount has every acknowledged write, and its commit has them too', async () => {
    const { repository, name } = await repositoryWithImage(kind, { extents: [] });
    const mounted = await mountRepository({ repository });
    const writers = Array.from({ length: LANES }, (_, lane) =>
      start(process.execPath, [TOOL, mounted.path(name), ...[lane, LANES, BLOCKS].map((number) => String(number))]),
    );
    await waitFor('both writers are at work', () => writers.every(({ output }) => output().length > 30_000));
    await mounted.killAll();
    // A writer ends by the error that its next write gets.
    const journals = (await Promise.all(writers.map((writer) => writer.ended))).map((ended) => ended.stdout);
    const may = acknowledged(journals);
    expect(may.size).toBeGreaterThan(500);

    const again = await mountAgain(mounted);
    const { number } = await commit(again, name);
    for (const file of ['disk.raw', `${String(number)}.raw`]) {
      const disk = await readRange(again.path(name, file), 0, BLOCKS * BLOCK);
      const wrong: unknown[] = [];
      for (let block = 0; block < BLOCKS; block++) {
        const value = valueOf(disk.subarray(block * BLOCK, (block + 1) * BLOCK));
        const allowed = may.get(block) ?? [0];
        if (value === undefined || !allowed.includes(value)) wrong.push({ file, block, value, allowed });
      }
      expect(wrong).toEqual([]);
    }
  }, 120_000);

  test('a mount whose daemon is dead is cleared by the next mount', async () => {
    const { repository, name } = await repositoryWithImage(kind);
    const mounted = await mountRepository({ repository });
    await mounted.killAll();
    await expect(readRange(mounted.path(name), 0, 1)).rejects.toThrow(/ENOTCONN|ECONNABORTED/);
    const again = await mountAgain(mounted);
    expect((await readRange(again.path(name), 0, BLOCK)).length).toBe(BLOCK);
  }, 60_000);
});
