/** A throwaway guest: booted from a local clone with credentials that may only read. */
import { expect, test } from '@jest/globals';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { checksumOf } from '../helpers/contents.js';
import { startCountingProxy } from '../helpers/counting-proxy.js';
import { bootGuest, guestImage } from '../helpers/guest.js';
import { importFile } from '../helpers/images.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { lazydisk, mustLazydisk } from '../helpers/program.js';
import { createRepository, describeS3, s3Endpoint, through } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';

describeS3('a guest on a local clone', () => {
  cleanUpAfter('all');

  // S50
  test('does all its work without a right to write, and a refused commit loses none of it', async () => {
    const source = await createRepository('s3');
    await importFile(source, await guestImage(), 'debian-12');
    const proxy = await startCountingProxy(s3Endpoint());
    undoLater(proxy.close);
    proxy.setReadOnly(true);
    const repository = through(source, proxy.url);
    const { env } = repository;
    const mounted = await mountRepository({ repository, options: ['--fill', 'idle', '--profile', 'auto'] });
    await mustLazydisk(['clone', mounted.mountpoint, 'debian-12', 'scratch', '--local'], { env });

    const guest = bootGuest(mounted.path('scratch'), join(temporaryFolder('guest'), 'reads'));
    expect(await guest.ended).toMatch(/GUEST-DONE ok boots=1\b/);

    const worked = await checksumOf(mounted.path('scratch'));
    const { dirtyBytes } = await mounted.imageStatus('scratch');
    expect(dirtyBytes).toBeGreaterThan(1_000_000);
    const refused = await lazydisk(['commit', mounted.mountpoint, 'scratch'], { env });
    expect(refused).toMatchObject({ status: 5, stderr: expect.stringMatching(/lack s3:PutObject/) as unknown });
    await mounted.unmount();
    const again = await mountAgain(mounted);
    expect(await again.imageStatus('scratch')).toMatchObject({ dirtyBytes });
    expect(await checksumOf(again.path('scratch'))).toBe(worked);
  }, 900_000);
});
