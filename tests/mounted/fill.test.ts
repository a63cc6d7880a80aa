/** The background fill as a user sees it. */
import { describe, expect, test } from '@jest/globals';
import { open } from 'node:fs/promises';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { repositoryWithImage } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { REPOSITORY_KINDS } from '../helpers/repositories.js';
import { waitFor } from '../helpers/waiting.js';

describe.each(REPOSITORY_KINDS)('the background fill (%s)', (kind) => {
  cleanUpAfter('each');

  // S45
  test('fills what is open and nothing else, says so, and then the mount is silent', async () => {
    const { repository, name } = await repositoryWithImage(kind);
    const mounted = await mountRepository({ repository, options: ['--fill', 'idle'] });
    expect(await mounted.imageStatusFile(name)).toMatchObject({ fill: 'off', needsStore: true });
    expect((await mounted.status()).fetchedBytes).toBe(0);

    const disk = await open(mounted.path(name), 'r');
    try {
      const filled = await waitFor('the image is filled', async () => {
        const status = await mounted.imageStatusFile(name);
        return status.fill === 'complete' && status;
      });
      expect(filled).toMatchObject({ needsStore: false, missingBytes: 0 });
      const { fetchedBytes } = await mounted.status();
      await readRange(mounted.path(name), 0, 64 * 1024);
      expect((await mounted.status()).fetchedBytes).toBe(fetchedBytes);
    } finally {
      await disk.close();
    }
  });
});
