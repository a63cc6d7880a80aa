import { describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { allocatedBytes, checksumOf, expectSameDu } from '../helpers/contents.js';
import { testWith } from '../helpers/driver.js';
import { commit, MIB, repositoryWithImage } from '../helpers/images.js';
import { type MountedTest, mountRepository } from '../helpers/mounts.js';
import { must, run, start } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const qemuIo = (path: string, ...commands: string[]): string[] => [
  ...['-f', 'raw', '-t', 'none', '-d', 'unmap'],
  ...commands.flatMap((command) => ['-c', command]),
  path,
];
/** qemu-io exits with 0 also when a pattern does not match: what it says decides. */
async function patterns(path: string, ...commands: string[]): Promise<void> {
  const said = await must('qemu-io', qemuIo(path, ...commands));
  expect(said).not.toMatch(/failed|error/i);
}

describe('QEMU on a head', () => {
  cleanUpAfter('each');

  async function mountedImage(): Promise<{ mounted: MountedTest; path: string; name: string; original: string }> {
    const { repository, name, original } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    return { mounted, path: mounted.path(name), name, original };
  }

  testWith('discard')('patterns of writes, discards and zero writes read back, and again after a commit', async () => {
    const { mounted, path, name } = await mountedImage();
    await patterns(
      path,
      'write -P 0xa5 4k 64k',
      'discard 8k 4k',
      'read -P 0xa5 4k 4k',
      'read -P 0 8k 4k',
      'read -P 0xa5 12k 56k',
      'write -z 12k 4k',
      'read -P 0 8k 8k',
      'write -P 0x5a 1049088 1536',
      'read -P 0x5a 1049088 1536',
      'write -z -u 2M 1M',
      'discard 20M 1M',
      'flush',
    );
    await commit(mounted, name);
    for (const file of ['disk.raw', '2.raw']) {
      const said = await must('qemu-io', [
        ...['-r', '-f', 'raw'],
        ...['read -P 0xa5 4k 4k', 'read -P 0 8k 8k', 'read -P 0xa5 16k 52k', 'read -P 0x5a 1049088 1536'].flatMap(
          (c) => ['-c', c],
        ),
        ...['read -P 0 2M 1M', 'read -P 0 20M 1M'].flatMap((c) => ['-c', c]),
        mounted.path(name, file),
      ]);
      expect(said).not.toMatch(/failed|error/i);
    }
  });

  // S24
  testWith('discard')('a discard frees the space on the local disk at once', async () => {
    const { mounted, path, name } = await mountedImage();
    await patterns(path, 'write -P 0x77 8M 8M', 'flush');
    const before = await mounted.imageStatusFile(name);
    await patterns(path, 'discard 8M 8M', 'flush');
    const after = await mounted.imageStatusFile(name);
    expect(before.layerAllocatedBytes).toBeGreaterThanOrEqual(8 * MIB);
    expect(after.layerAllocatedBytes).toBeLessThanOrEqual(before.layerAllocatedBytes - 8 * MIB);
  });

  test('a second qemu-io is refused by the lock that QEMU itself takes', async () => {
    const { path } = await mountedImage();
    // qemu-io itself shares writing with others; a machine does not, and this says so as a machine would.
    const alone = `driver=blkdebug,unshare-child-perms.0=write,image.driver=file,image.filename=${path}`;
    const first = start('qemu-io', ['--image-opts', alone]);
    first.write('write -P 1 0 4k\n');
    await waitFor('the first qemu-io has the image', () => first.output().includes('wrote 4096'));

    const second = await run('qemu-io', qemuIo(path, 'write -P 2 0 4k'));
    expect(second.stderr + second.stdout).toMatch(/Failed to get "write" lock/);
    // One line at a time: qemu-io waits for the pipe although it has read the next line already.
    first.write('read -P 1 0 4k\n');
    await waitFor('the first one reads its own bytes', () => first.output().includes('read 4096'));
    first.write('quit\n');
    expect((await first.ended).stdout).not.toMatch(/failed|error/i);
  });

  test('qemu-img convert out gives the same bytes and the same du, to raw and through qcow2', async () => {
    const { path, original } = await mountedImage();
    const folder = temporaryFolder('converted');
    await must('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', path, join(folder, 'a.raw')]);
    await must('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', path, join(folder, 'a.qcow2')]);
    await must('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', join(folder, 'a.qcow2'), join(folder, 'b.raw')]);
    const sum = await checksumOf(original);
    expect(await checksumOf(join(folder, 'a.raw'))).toBe(sum);
    expect(await checksumOf(join(folder, 'b.raw'))).toBe(sum);
    await must('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', original, join(folder, 'reference.raw')]);
    const allocated = await allocatedBytes(join(folder, 'reference.raw'));
    expectSameDu(await allocatedBytes(join(folder, 'a.raw')), allocated);
  });

  test('qemu-img convert of a qcow2 into a new folder makes an image with the same bytes', async () => {
    const { mounted, original } = await mountedImage();
    const qcow2 = join(temporaryFolder('converted'), 'x.qcow2');
    await must('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', original, qcow2]);
    await must('mkdir', [mounted.path('new', '')]);
    await must('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', qcow2, mounted.path('new')]);
    expect(await checksumOf(mounted.path('new'))).toBe(await checksumOf(original));
    await commit(mounted, 'new');
    expect(await checksumOf(mounted.path('new', '1.raw'))).toBe(await checksumOf(original));
  });
});
