import { describe, expect, test } from '@jest/globals';
import { stat, truncate } from 'node:fs/promises';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { commit, KIB, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { mustLazydisk } from '../helpers/program.js';

describe('the size of a head', () => {
  cleanUpAfter('each');

  // S23
  test('shrinking and growing again shows zeros, now, after a commit and after a remount', async () => {
    const { repository, name, original } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const cut = 2 * MIB + 1000;
    await truncate(mounted.path(name), cut);
    expect((await stat(mounted.path(name))).size).toBe(cut);
    await truncate(mounted.path(name), 40 * MIB);

    const expected = Buffer.alloc(40 * MIB);
    (await readRange(original, 0, cut)).copy(expected);
    expect(expected.equals(await readRange(mounted.path(name), 0, expected.length))).toBe(true);
    await commit(mounted, name);
    expect(expected.equals(await readRange(mounted.path(name, '2.raw'), 0, expected.length))).toBe(true);
    await mounted.unmount();
    const again = await mountAgain(mounted);
    expect((await stat(again.path(name))).size).toBe(expected.length);
    expect(expected.equals(await readRange(again.path(name), 0, expected.length))).toBe(true);
  });

  test('a write beyond the end grows it, with zeros between', async () => {
    const { repository, name, original, sizeBytes } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const at = 40 * MIB + 5000;
    await must('bash', [
      '-c',
      `printf hello | dd of="${mounted.path(name)}" bs=1 seek=${String(at)} conv=notrunc status=none`,
    ]);

    expect((await stat(mounted.path(name))).size).toBe(at + 5);
    const tail = await readRange(mounted.path(name), sizeBytes, at + 5 - sizeBytes);
    expect(tail.subarray(-5).toString()).toBe('hello');
    expect(tail.subarray(0, -5).every((byte) => byte === 0)).toBe(true);
    expect(
      (await readRange(original, sizeBytes - KIB, KIB)).equals(
        await readRange(mounted.path(name), sizeBytes - KIB, KIB),
      ),
    ).toBe(true);
  });

  // S2
  test('a commit of a shrunk head is a smaller snapshot; the earlier one keeps its size', async () => {
    const { repository, name, sizeBytes } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    await truncate(mounted.path(name), 10 * MIB);
    await commit(mounted, name);
    expect((await stat(mounted.path(name, '2.raw'))).size).toBe(10 * MIB);
    expect((await stat(mounted.path(name, '1.raw'))).size).toBe(sizeBytes);
  });

  test('an image of a terabyte costs nothing until it is written', async () => {
    const { repository } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    await must('mkdir', [mounted.path('huge', '')]);
    await must('truncate', ['-s', '1T', mounted.path('huge')]);
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 9 900G 64k', '-c', 'read -P 9 900G 64k', mounted.path('huge')]);
    const report = await commit(mounted, 'huge');
    expect(report.uploadedBytes).toBeLessThan(4 * MIB);
    expect((await stat(mounted.path('huge', '1.raw'))).size).toBe(1024 ** 4);
    const written = await readRange(mounted.path('huge', '1.raw'), 900 * 1024 ** 3, 64 * KIB);
    expect(written.every((byte) => byte === 9)).toBe(true);
  });

  // S94
  test('a clone that the mount makes is as large as --size says, in the store and on this host only', async () => {
    const { repository, name, original, sizeBytes } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    for (const [clone, ...more] of [['stored'], ['scratch', '--local']] as const) {
      const words = ['clone', mounted.mountpoint, name, clone, '--size', '64M', ...more];
      await mustLazydisk(words, { env: repository.env });
      expect((await stat(mounted.path(clone))).size).toBe(64 * MIB);
      const expected = Buffer.alloc(64 * MIB);
      (await readRange(original, 0, sizeBytes)).copy(expected);
      expect(expected.equals(await readRange(mounted.path(clone), 0, expected.length))).toBe(true);
    }
  });
});
