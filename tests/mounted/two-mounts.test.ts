import { describe, expect, test } from '@jest/globals';
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf, seededBytes } from '../helpers/contents.js';
import { commit, repositoryWithImage } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { must, run } from '../helpers/processes.js';
import { lazydisk, mustLazydisk } from '../helpers/program.js';
import { REPOSITORY_KINDS } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const overwrite = (path: string, from: string): Promise<string> =>
  must('dd', [`if=${from}`, `of=${path}`, 'bs=64k', 'conv=notrunc,fsync', 'status=none']);

describe.each(REPOSITORY_KINDS)('two mounts with states of their own (%s)', (kind) => {
  cleanUpAfter('each');

  // S4
  test('the second sees what the first one commits, at most a second or so later', async () => {
    const { repository, name } = await repositoryWithImage(kind);
    const [first, second] = [await mountRepository({ repository }), await mountRepository({ repository })];
    expect(await readlink(second.path(name, 'latest.raw'))).toBe('1.raw');
    const bytes = join(temporaryFolder('bytes'), 'bytes');
    await writeFile(bytes, seededBytes(9, 1_000_000));

    await overwrite(first.path(name), bytes);
    await commit(first, name);
    await waitFor('the second mount lists 2.raw', async () => (await readdir(second.path(name, ''))).includes('2.raw'));
    await waitFor('latest.raw points to it', async () => (await readlink(second.path(name, 'latest.raw'))) === '2.raw');
    expect(await checksumOf(second.path(name, '2.raw'))).toBe(await checksumOf(first.path(name)));
  });

  test('a clone made in the first is an image in the second, with the same bytes', async () => {
    const { repository, name, original } = await repositoryWithImage(kind);
    const [first, second] = [await mountRepository({ repository }), await mountRepository({ repository })];
    await mustLazydisk(['clone', first.mountpoint, name, 'copy'], { env: repository.env });
    await waitFor('the second mount lists it', async () => (await readdir(second.mountpoint)).includes('copy'));
    expect(await checksumOf(second.path('copy'))).toBe(await checksumOf(original));
  });

  // S17
  test('only one of them may write: the other gets EBUSY, its own reads go on, and it is told how to unlock', async () => {
    const { repository, name, original } = await repositoryWithImage(kind);
    const [first, second] = [await mountRepository({ repository }), await mountRepository({ repository })];
    const write = ['if=/dev/zero', 'bs=4k', 'count=1', 'conv=notrunc', 'status=none'];
    await must('dd', [...write, `of=${first.path(name)}`]);

    const refused = await run('dd', [...write, `of=${second.path(name)}`], { env: { LC_ALL: 'C' } });
    expect(refused.stderr).toMatch(/Device or resource busy/);
    expect(await checksumOf(second.path(name))).toBe(await checksumOf(original));

    // Who holds it and what to do stands where people look: in the log of that mount, and in every verb that minds.
    expect(await readFile(join(second.stateDirectory, 'daemon.log'), 'utf8')).toMatch(/lazydisk unlock/);
    const list = await mustLazydisk(['list', repository.url, name], { env: repository.env });
    expect(list).toMatch(new RegExp(`being written: .* \\(pid ${String(first.daemonPid)}\\)`));
    const imported = await lazydisk(['import', repository.url, original, name], { env: repository.env });
    expect(imported.status).toBe(4);
    expect(imported.stderr).toMatch(/lazydisk unlock/);
  });

  // S34
  test('an orderly unmount with a clean head gives the lock up; a dirty head keeps it until unlock', async () => {
    const { repository, name } = await repositoryWithImage(kind);
    const write = ['if=/dev/zero', 'bs=4k', 'count=1', 'conv=notrunc', 'status=none'];
    const first = await mountRepository({ repository });
    await must('dd', [...write, `of=${first.path(name)}`]);
    await commit(first, name);
    await first.unmount();

    const second = await mountRepository({ repository });
    await must('dd', [...write, `of=${second.path(name)}`]);
    expect(await lazydisk(['revert', second.mountpoint, name], { env: repository.env })).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(
        /Throwing away what was written to .* since its last commit \(.* KiB\) needs --yes/,
      ),
    });
    await second.unmount(); // dirty: its lock stays

    const third = await mountRepository({ repository });
    const refused = await run('dd', [...write, `of=${third.path(name)}`], { env: { LC_ALL: 'C' } });
    expect(refused.stderr).toMatch(/Device or resource busy/);
    const removal = await lazydisk(['delete', repository.url, `${name}@2`, '--yes'], { env: repository.env });
    expect(removal.status).toBe(4); // the lock names it as its base

    await mustLazydisk(['unlock', repository.url, name, '--yes'], { env: repository.env });
    await waitFor(
      'the third mount may write',
      async () => (await run('dd', [...write, `of=${third.path(name)}`])).status === 0,
    );
  });
});
