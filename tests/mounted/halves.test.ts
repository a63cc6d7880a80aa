import { describe, expect, test } from '@jest/globals';
import { resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { commit, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';

const TOOL = resolve('tests/tools/write-sectors.mjs');
const ROUNDS = 3;

describe('two processes that write the two halves of the same blocks in 512-byte pieces', () => {
  cleanUpAfter('each');

  // S22
  test.each([
    ['where the base has data', 0],
    ['where the base has nothing', 8 * MIB],
  ])('both halves are whole afterwards, %s', async (_title, offset) => {
    const { repository, name, original } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const sectors = (2 * MIB) / 512;
    const first = offset / 512;
    const write = (half: number, value: number): Promise<string> =>
      must(process.execPath, [
        TOOL,
        mounted.path(name),
        ...[first + half, 2, sectors / 2, value, ROUNDS].map((number) => String(number)),
      ]);

    await Promise.all([write(0, 0x10), write(1, 0x80)]);

    const expected = Buffer.alloc(sectors * 512);
    for (let sector = 0; sector < sectors; sector++) {
      expected.fill((sector % 2 === 0 ? 0x10 : 0x80) + ROUNDS - 1, sector * 512, (sector + 1) * 512);
    }
    expect(expected.equals(await readRange(mounted.path(name), offset, expected.length))).toBe(true);
    // and nothing beside them changed, also in what a commit makes of it
    await commit(mounted, name);
    expect(expected.equals(await readRange(mounted.path(name, '2.raw'), offset, expected.length))).toBe(true);
    const after = offset + expected.length;
    const beside = await readRange(original, after, 2 * MIB);
    expect(beside.equals(await readRange(mounted.path(name, '2.raw'), after, 2 * MIB))).toBe(true);
  });
});
