import { describe, expect, test } from '@jest/globals';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { seededBytes } from '../helpers/contents.js';
import { commit, importFile, MIB } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { must, run } from '../helpers/processes.js';
import { createRepository, REPOSITORY_KINDS } from '../helpers/repositories.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';

describe.each(REPOSITORY_KINDS)('a file system inside an image (%s)', (kind) => {
  cleanUpAfter('each');

  test('ext4 that was loop-mounted on disk.raw and committed is clean, and holds its files, from a second mount', async () => {
    const repository = await createRepository(kind);
    const folder = temporaryFolder('ext4');
    const seed = join(folder, 'seed');
    await mkdir(seed);
    await writeFile(join(seed, 'hello'), 'from the host\n');
    const original = join(folder, 'ext4.raw');
    await must('mke2fs', ['-q', '-t', 'ext4', '-d', seed, original, '64M']);
    await importFile(repository, original, 'files');

    const first = await mountRepository({ repository });
    const inside = join(folder, 'inside');
    await mkdir(inside);
    undoLater(async () => {
      if ((await mountpointsUnder(inside)).length > 0) await must('umount', [inside]);
    });
    await must('mount', ['-o', 'loop,discard', first.path('files'), inside]);
    await mkdir(join(inside, 'many'));
    for (let index = 0; index < 200; index++) {
      await writeFile(join(inside, 'many', String(index)), seededBytes(index, 1 + index * 97));
    }
    await writeFile(join(inside, 'large'), seededBytes(7, 12 * MIB));
    await must('rm', ['-f', join(inside, 'hello')]);
    const sums = await must('bash', [
      '-c',
      'cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum',
      '-',
      inside,
    ]);
    await must('umount', [inside]);
    const { number } = await commit(first, 'files');
    expect(number).toBe(2);

    const second = await mountRepository({ repository });
    const snapshot = second.path('files', '2.raw');
    const check = await run('e2fsck', ['-fn', snapshot]);
    expect(check.stdout + check.stderr).not.toMatch(/WARNING|fix\?|errors/i);
    expect(check.status).toBe(0);
    await must('mount', ['-o', 'loop,ro,noload', snapshot, inside]);
    expect(
      await must('bash', ['-c', 'cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum', '-', inside]),
    ).toBe(sums);
    await must('umount', [inside]);
  });
});
