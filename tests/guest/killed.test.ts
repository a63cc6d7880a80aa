/** A guest whose disk is served by a daemon that dies again and again: it sees nothing of it. */
import { expect, test } from '@jest/globals';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf } from '../helpers/contents.js';
import { bootGuest, guestImage } from '../helpers/guest.js';
import { commit, importFile } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { guestState } from '../helpers/qmp.js';
import { createRepository, describeS3 } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { passed, waitFor } from '../helpers/waiting.js';

describeS3('a guest whose daemon is killed three times', () => {
  cleanUpAfter('each');

  // S19
  test('works on, finds all that it wrote, and its commit holds it', async () => {
    const repository = await createRepository('s3');
    await importFile(repository, await guestImage(), 'debian-12');
    const mounted = await mountRepository({ repository });
    const guest = bootGuest(mounted.path('debian-12'), join(temporaryFolder('guest'), 'reads'));
    await guest.shows(/GUEST-READY/, 300_000);
    let over = false;
    const ended = guest.ended.finally(() => {
      over = true;
    });
    const killed = new Set<number>();
    while (killed.size < 3 && !over) {
      killed.add(await mounted.killDaemon());
      await waitFor('the next daemon serves', async () => !killed.has((await mounted.status()).daemonPid));
      expect(over || (await guestState(guest.monitor)) === 'running').toBe(true);
      await Promise.race([passed(1500), ended]);
    }
    expect(await ended).toMatch(/GUEST-DONE ok boots=1\b/);
    expect(killed.size).toBe(3);

    const { number } = await commit(mounted, 'debian-12');
    const second = await mountRepository({ repository });
    expect(await checksumOf(second.path('debian-12', `${String(number)}.raw`))).toBe(
      await checksumOf(mounted.path('debian-12')),
    );
  }, 900_000);
});
