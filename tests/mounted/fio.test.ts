import { describe, expect, test } from '@jest/globals';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf } from '../helpers/contents.js';
import { commit, repositoryWithImage } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { start } from '../helpers/processes.js';
import { REPOSITORY_KINDS } from '../helpers/repositories.js';
import { waitFor } from '../helpers/waiting.js';

const verifyJob = (path: string, ...more: string[]): string[] => [
  '--name=writes',
  `--filename=${path}`,
  '--rw=randwrite',
  '--size=32M',
  '--io_size=48M',
  '--verify=crc32c',
  '--verify_fatal=1',
  '--do_verify=1',
  '--verify_state_save=0',
  '--randrepeat=1',
  ...more,
];

describe.each(REPOSITORY_KINDS)('fio --verify on a head (%s)', (kind) => {
  cleanUpAfter('each');

  // S27
  test.each([
    ['direct, 4 KiB', ['--direct=1', '--ioengine=libaio', '--iodepth=16', '--bs=4k']],
    ['buffered, odd sizes', ['--direct=0', '--ioengine=psync', '--bsrange=512-64k', '--bs_unaligned=1']],
  ])('every byte reads back while commits are taken: %s', async (_title, options) => {
    const { repository, name } = await repositoryWithImage(kind);
    const mounted = await mountRepository({ repository });
    const path = mounted.path(name);

    // Slowed down so that several commits fall into its writes; it reads everything back at its end.
    const fio = start('fio', verifyJob(path, '--rate=,20m', ...options));
    await waitFor('fio writes', async () => (await mounted.imageStatusFile(name)).dirtyBytes > 0);
    let running = true;
    const ended = fio.ended.finally(() => {
      running = false;
    });
    let commits = 0;
    while (running) {
      const report = await commit(mounted, name);
      if (report.changed) commits++;
    }
    const { status, stdout, stderr } = await ended;
    expect(`${stdout}${stderr}`).not.toMatch(/verify:|verify_|error/i);
    expect(status).toBe(0);
    expect(commits).toBeGreaterThanOrEqual(1);

    const { number } = await commit(mounted, name);
    expect(await checksumOf(mounted.path(name, `${String(number)}.raw`))).toBe(await checksumOf(path));
  });
});
