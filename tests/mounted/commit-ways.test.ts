/** Commits that nobody waits for, and commits under another name, by the program. */
import { expect, test } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import type { CommitStart } from '../../mount/service/control-protocol.js';
import type { CommandOutcome } from '../../mount/tree/outcomes.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf, seededBytes } from '../helpers/contents.js';
import { MIB, repositoryWithImage } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { lazydisk, lazydiskJson } from '../helpers/program.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

// S51, S52
test('--async gives an id that status follows to the outcome; --as makes a new image and leaves the disk dirty', async () => {
  const { repository, name } = await repositoryWithImage('file');
  const mounted = await mountRepository({ repository });
  const { env } = repository;
  await writeFile(mounted.path(name), seededBytes(51, 2 * MIB), { flag: 'r+' });
  const written = await checksumOf(mounted.path(name));

  const saved = await lazydiskJson(['commit', mounted.mountpoint, name, '--as', 'saved'], { env });
  expect(saved).toMatchObject({ image: 'saved', number: 1, changed: true });
  expect(await checksumOf(mounted.path('saved', '1.raw'))).toBe(written);
  expect((await mounted.imageStatus(name)).dirtyBytes).toBe(2 * MIB);

  const words = ['commit', mounted.mountpoint, name, '--async', '--label', 'over night'];
  const { id } = (await lazydiskJson(words, { env })) as CommitStart;
  const ended = await waitFor('the commit has ended', async () => {
    const command = await lazydiskJson(['status', mounted.mountpoint, '--command', id], { env });
    return 'ok' in (command as object) ? (command as CommandOutcome) : undefined;
  });
  expect(ended).toMatchObject({ id, command: `commit ${name} --async over night`, ok: true, result: { number: 2 } });
  expect(await checksumOf(mounted.path(name, '2.raw'))).toBe(written);
  expect(await lazydisk(['status', mounted.mountpoint, '--command', 'none'], { env })).toMatchObject({ status: 3 });
});
