import { describe, expect, test } from '@jest/globals';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { commit, repositoryWithImage } from '../helpers/images.js';
import { acknowledgedBy, startWriters, wrongBlocks } from '../helpers/journals.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { REPOSITORY_KINDS } from '../helpers/repositories.js';
import { waitFor } from '../helpers/waiting.js';

const BLOCK = 4096;

describe.each(REPOSITORY_KINDS)('kill -9 of the daemon under writes (%s)', (kind) => {
  cleanUpAfter('each');

  // S19
  test('the next mount has every acknowledged write, and its commit has them too', async () => {
    const { repository, name } = await repositoryWithImage(kind, { extents: [] });
    const mounted = await mountRepository({ repository });
    const writers = startWriters(mounted.path(name));
    await waitFor('both writers are at work', () => writers.every(({ output }) => output().length > 30_000));
    await mounted.killAll();
    // A writer ends by the error that its next write gets.
    const may = await acknowledgedBy(writers);
    expect(may.size).toBeGreaterThan(500);

    const again = await mountAgain(mounted);
    const { number } = await commit(again, name);
    for (const file of ['disk.raw', `${String(number)}.raw`]) {
      expect(await wrongBlocks(again.path(name, file), may)).toEqual([]);
    }
  });

  test('a mount whose daemon is dead is cleared by the next mount', async () => {
    const { repository, name } = await repositoryWithImage(kind);
    const mounted = await mountRepository({ repository });
    await mounted.killAll();
    await expect(readRange(mounted.path(name), 0, 1)).rejects.toThrow(/ENOTCONN|ECONNABORTED/);
    const again = await mountAgain(mounted);
    expect((await readRange(again.path(name), 0, BLOCK)).length).toBe(BLOCK);
  });
});
