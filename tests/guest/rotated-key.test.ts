/** A guest whose host gets another key while it boots, and whose old key is good for nothing from then on. */
import { describe, expect, test } from '@jest/globals';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { bootGuest, guestImage } from '../helpers/guest.js';
import { commit, importFile, MIB } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { lazydisk } from '../helpers/program.js';
import { createRepository } from '../helpers/repositories.js';
import { S3_KEYS } from '../helpers/s3-server.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

/** Only where the keys of the server can be changed. */
(S3_KEYS === undefined ? describe.skip : describe)('a guest whose key is rotated', () => {
  cleanUpAfter('each');

  // S72
  test('goes on, and its commit is signed with the new key', async () => {
    const repository = await createRepository('s3');
    await importFile(repository, await guestImage(), 'debian-12');
    const file = join(temporaryFolder('keys'), 'credentials');
    const use = async (id: string): Promise<void> => {
      const secret = `secret-of-${id}`;
      await S3_KEYS?.add(id, secret);
      undoLater(() => S3_KEYS?.remove(id).catch(() => undefined));
      await writeFile(`${file}.new`, `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`);
      await rename(`${file}.new`, file);
    };
    const [first, second] = [`first-${String(process.pid)}`, `second-${String(process.pid)}`];
    await use(first);
    const mounted = await mountRepository({ repository, options: ['--credentials', file] });
    const guest = bootGuest(mounted.path('debian-12'), join(temporaryFolder('guest'), 'reads'));
    await waitFor('the guest has begun to boot', async () => (await mounted.status()).fetchedBytes > 5 * MIB);

    await use(second);
    await S3_KEYS?.remove(first);
    const env = { ...repository.env, AWS_ACCESS_KEY_ID: first, AWS_SECRET_ACCESS_KEY: `secret-of-${first}` };
    expect(await lazydisk(['list', repository.url], { env })).toMatchObject({ status: 5 });

    expect(await guest.ended).toMatch(/GUEST-DONE ok boots=1\b/);
    expect(await commit(mounted, 'debian-12')).toMatchObject({ number: 2, changed: true });
  }, 900_000);
});
