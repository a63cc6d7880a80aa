/** A guest whose store goes away for longer than reads wait: it stops instead of breaking, and goes on when told to. */
import { expect, test } from '@jest/globals';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { startCountingProxy } from '../helpers/counting-proxy.js';
import { bootGuest, guestImage } from '../helpers/guest.js';
import { importFile } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { guestState, qmp } from '../helpers/qmp.js';
import { createRepository, describeS3, s3Endpoint, through } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { passed, waitFor } from '../helpers/waiting.js';

describeS3('a guest whose store goes away', () => {
  cleanUpAfter('each');

  // S15
  test('is stopped by the first read that waited too long, and finishes its work once the store is back', async () => {
    const repository = await createRepository('s3');
    await importFile(repository, await guestImage(), 'debian-12');
    const proxy = await startCountingProxy(s3Endpoint());
    undoLater(proxy.close);
    const mounted = await mountRepository({ repository: through(repository, proxy.url), options: ['--timeout', '3'] });
    const guest = bootGuest(mounted.path('debian-12'), join(temporaryFolder('guest'), 'reads'));
    await waitFor('the guest has begun to boot', () => proxy.counts().gets > 20);

    proxy.setOutage(true);
    const state = (): Promise<string> => guestState(guest.monitor);
    await waitFor('the guest is stopped', async () => (await state()) === 'io-error', { timeoutMs: 300_000 });
    await passed(1000);
    expect(await state()).toBe('io-error');
    proxy.setOutage(false);

    let over = false;
    const ended = guest.ended.finally(() => {
      over = true;
    });
    // One `cont` may come before the store is asked again: then the guest is stopped once more, and told again.
    while (!over) {
      if ((await state().catch(() => 'ended')) === 'io-error') await qmp(guest.monitor, 'cont').catch(() => undefined);
      await Promise.race([passed(500), ended]);
    }
    expect(await ended).toMatch(/GUEST-DONE ok boots=1\b/);
  }, 900_000);
});
