import { describe, expect, test } from '@jest/globals';
import { chmod, chown, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf, fingerprint } from '../helpers/contents.js';
import { commit, repositoryWithImage } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { must, run } from '../helpers/processes.js';

const NOBODY = 65534;
const asNobody = (command: readonly string[]): string[] => [
  `--reuid=${String(NOBODY)}`,
  `--regid=${String(NOBODY)}`,
  '--clear-groups',
  ...command,
];

describe('the tree of a mount', () => {
  cleanUpAfter('each');

  test('an image is a folder with its snapshots, its head, control and status', async () => {
    const { repository, name, original, sizeBytes } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });

    expect((await readdir(mounted.mountpoint)).sort()).toEqual([name, 'control', 'status'].sort());
    expect((await readdir(join(mounted.mountpoint, name))).sort()).toEqual(
      ['1.raw', 'control', 'disk.raw', 'latest.raw', 'status'].sort(),
    );
    expect(await readlink(mounted.path(name, 'latest.raw'))).toBe('1.raw');
    const modes = await Promise.all(
      ['', '1.raw', 'disk.raw', 'control'].map(async (file) => (await stat(mounted.path(name, file))).mode & 0o7777),
    );
    expect(modes).toEqual([0o751, 0o440, 0o660, 0o600]);
    expect((await stat(mounted.path(name))).size).toBe(sizeBytes);
    expect(await checksumOf(mounted.path(name))).toBe(await checksumOf(original));
    expect(await checksumOf(mounted.path(name, 'latest.raw'))).toBe(await checksumOf(original));
  });

  test('the kernel knows the mount as fuse.lazydisk, nosuid and nodev, with the repository as its source', async () => {
    const { repository } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });

    const [source, type, options] = (
      await must('findmnt', ['-n', '-o', 'SOURCE,FSTYPE,OPTIONS', '--raw', mounted.mountpoint])
    )
      .trim()
      .split(' ');
    expect(source).toBe(repository.url);
    expect(type).toBe('fuse.lazydisk');
    expect(options?.split(',')).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'default_permissions']));
  });

  // S10
  test('another user gets EACCES on every file', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository, options: ['--allow-other'] });

    const files = ['1.raw', 'latest.raw', 'disk.raw', 'control', 'status'].map((file) => mounted.path(name, file));
    for (const file of [...files, join(mounted.mountpoint, 'control'), join(mounted.mountpoint, 'status')]) {
      const read = await run('setpriv', asNobody(['cat', file]), { env: { LC_ALL: 'C' } });
      expect(read.stderr).toMatch(/Permission denied/);
      expect(read.status).not.toBe(0);
    }
    const write = await run(
      'setpriv',
      asNobody(['dd', 'if=/dev/zero', `of=${mounted.path(name)}`, 'bs=4k', 'count=1', 'conv=notrunc']),
      { env: { LC_ALL: 'C' } },
    );
    expect(write.stderr).toMatch(/Permission denied/);
  });

  test('without --allow-other another user does not even see the mount', async () => {
    const { repository } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });

    const list = await run('setpriv', asNobody(['ls', mounted.mountpoint]), { env: { LC_ALL: 'C' } });
    expect(list.stderr).toMatch(/Permission denied/);
  });

  test('after chown of the head to another user, that user runs qemu-io on it, and owner and mode stay after a remount', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository, options: ['--allow-other'] });
    await chown(mounted.path(name), NOBODY, NOBODY);
    await chmod(mounted.path(name), 0o600);

    await must(
      'setpriv',
      asNobody([
        'qemu-io',
        ...['-f', 'raw', '-t', 'none'],
        ...['-c', 'write -P 0xa5 4k 64k', '-c', 'read -P 0xa5 4k 64k', '-c', 'flush'],
        mounted.path(name),
      ]),
    );
    const owner = async (path: string): Promise<number[]> => {
      const { uid, gid, mode } = await stat(path);
      return [uid, gid, mode & 0o7777];
    };
    expect(await owner(mounted.path(name))).toEqual([NOBODY, NOBODY, 0o600]);

    await mounted.unmount();
    const second = await mountRepository({ repository, stateDirectory: mounted.stateDirectory });
    expect(await owner(second.path(name))).toEqual([NOBODY, NOBODY, 0o600]);
  });

  test('snapshots and folders keep what they are: every change is refused', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const refused = async (command: string, args: string[], how: RegExp): Promise<void> => {
      const ended = await run(command, args, { env: { LC_ALL: 'C' } });
      expect(ended.stderr).toMatch(how);
      expect(ended.status).not.toBe(0);
    };

    const snapshot = mounted.path(name, '1.raw');
    await refused('dd', ['if=/dev/zero', `of=${snapshot}`, 'count=1', 'conv=notrunc'], /Read-only file system/);
    await refused('truncate', ['-s', '1M', snapshot], /Read-only file system/);
    await refused('chmod', ['666', snapshot], /Read-only file system/);
    await refused('rm', ['-f', snapshot], /Operation not permitted/);
    await refused('mv', [snapshot, mounted.path(name, '9.raw')], /Operation not permitted/);
    await refused('rmdir', [mounted.path(name, '')], /Operation not permitted|Directory not empty/);
    await refused('ln', [snapshot, mounted.path(name, 'hard')], /Operation not permitted/);
    await refused('ln', ['-s', snapshot, mounted.path(name, 'soft')], /Operation not permitted/);
    await refused('touch', [mounted.path(name, 'other.file')], /Operation not permitted/);
    await refused('chmod', ['777', mounted.path(name, '')], /Operation not permitted/);
  });

  // S6
  test('rm -rf on the mount leaves the repository byte for byte as it was', async () => {
    const { repository, name, original } = await repositoryWithImage();
    const before = await fingerprint(repository.folder ?? '');
    const mounted = await mountRepository({ repository });

    const removal = await run('bash', ['-c', `rm -rf "${mounted.mountpoint}"/* "${mounted.mountpoint}"`]);
    expect(removal.status).not.toBe(0);
    expect(await checksumOf(mounted.path(name))).toBe(await checksumOf(original));
    await mounted.unmount();
    expect(await fingerprint(repository.folder ?? '')).toBe(before);
  });

  test('a new folder with a copied disk.raw and a commit is a new image', async () => {
    const { repository, original } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });

    await must('mkdir', [mounted.path('fresh', '')]);
    await must('cp', [original, mounted.path('fresh')]);
    expect((await commit(mounted, 'fresh')).number).toBe(1);
    expect(await checksumOf(mounted.path('fresh', '1.raw'))).toBe(await checksumOf(original));
  });

  test('rmdir removes an image that was never committed', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });

    await must('mkdir', [mounted.path('fresh', '')]);
    await must('rmdir', [mounted.path('fresh', '')]);
    expect(await readdir(mounted.mountpoint)).not.toContain('fresh');
    expect(await readdir(mounted.mountpoint)).toContain(name);
  });
});
