/**
 * What root allows users by files of the system: the word `user` in a line of fstab, and user_allow_other in fuse.conf. Both files are
 * others in a mount namespace of the test's own; mount(8), umount(8) and fusermount3 are the system's.
 */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { makeSparseFile, readRange } from '../helpers/contents.js';
import { testDriver } from '../helpers/driver.js';
import { KIB, MIB, SOME_EXTENTS } from '../helpers/images.js';
import { type MountNamespace, mountNamespace } from '../helpers/mount-namespace.js';
import { installMountHelper } from '../helpers/mount-program.js';
import { NOBODY, type OtherUser, otherUser } from '../helpers/other-user.js';
import type { Ended } from '../helpers/processes.js';

/** A third user, `daemon` of every Debian, with a group of his own. */
const SOMEBODY = 1;

(testDriver === 'kernel' ? describe : describe.skip)('a user whom root allows it', () => {
  cleanUpAfter('all');
  let user: OtherUser;
  let namespace: MountNamespace;
  let repository: string;
  let mountpoint: string;
  let sum: string;

  beforeAll(async () => {
    user = await otherUser();
    const { folder } = user;
    repository = `file://${join(folder, 'repository')}`;
    mountpoint = join(folder, 'mnt');
    await mkdir(mountpoint);
    await chown(mountpoint, NOBODY, NOBODY);
    const original = join(folder, 'original.raw');
    await makeSparseFile(original, 32 * MIB, SOME_EXTENTS, 1);
    sum = createHash('sha256')
      .update(await readRange(original, 0, 64 * KIB))
      .digest('hex');
    namespace = await mountNamespace();
    await lazydisk('init', repository);
    await lazydisk('import', repository, original, 'base');
  });

  const asNobody = (command: string, ...args: string[]): Promise<Ended> =>
    namespace.run('setpriv', user.words(command, args));
  const asSomebody = (gid: number, command: string, ...args: string[]): Promise<Ended> =>
    namespace.run('setpriv', [
      ...[`--reuid=${String(SOMEBODY)}`, `--regid=${String(gid)}`, '--clear-groups'],
      ...[command, ...args],
    ]);
  const lazydisk = (...args: string[]): Promise<Ended> =>
    asNobody(process.execPath, join(user.project, 'dist/mount/cli/main.js'), ...args);
  /** Words that print the SHA-256 of the snapshot's start. */
  const look = (): [string, ...string[]] => {
    const script = 'head -c 65536 <"$0" | sha256sum | cut -c1-64';
    return ['sh', '-c', script, join(mountpoint, 'base/1.raw')];
  };
  const replaced = async (path: string, text: string): Promise<void> => {
    const by = join(user.folder, path.replaceAll('/', '-'));
    await writeFile(by, text);
    await namespace.replace(path, by);
  };
  const mounted = async (): Promise<string> =>
    (await namespace.run('findmnt', ['-n', '-r', '-o', 'SOURCE,FSTYPE,OPTIONS', mountpoint])).stdout;

  // S58, S80
  test('mounts a line of fstab that says user, and nobody but this user unmounts it', async () => {
    await installMountHelper(user.project);
    await replaced('/etc/fstab', `${repository} ${mountpoint} lazydisk user,noauto,fill=off 0 0\n`);
    expect(await asNobody('mount', mountpoint)).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    const [source, type, options = ''] = (await mounted()).trim().split(' ');
    expect({ source, type }).toEqual({ source: repository, type: 'fuse.lazydisk' });
    expect(options.split(',')).toEqual(
      expect.arrayContaining(['rw', 'nosuid', 'nodev', 'noexec', `user_id=${String(NOBODY)}`]),
    );
    expect(await asNobody(...look())).toMatchObject({ status: 0, stdout: `${sum}\n` });

    const foreign = await asSomebody(SOMEBODY, 'umount', mountpoint);
    expect(foreign.status).not.toBe(0);
    expect(await mounted()).not.toBe('');
    expect(await asNobody('umount', mountpoint)).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    expect(await mounted()).toBe('');
  });

  // S80
  test('shows others the mount by --allow-other, as far as its modes go, where fuse.conf has user_allow_other', async () => {
    await replaced('/etc/fuse.conf', 'user_allow_other\n');
    expect(await lazydisk('mount', repository, mountpoint, '--fill', 'off', '--allow-other')).toMatchObject({
      status: 0,
    });
    expect(await asSomebody(NOBODY, ...look())).toMatchObject({ status: 0, stdout: `${sum}\n` });
    expect((await asSomebody(SOMEBODY, ...look())).stderr).toMatch(/Permission denied/);
    expect(await asSomebody(SOMEBODY, 'stat', '-c', '%s', join(mountpoint, 'base/1.raw'))).toMatchObject({
      status: 0,
      stdout: `${String(32 * MIB)}\n`,
    });
    expect(await lazydisk('unmount', mountpoint)).toMatchObject({ status: 0 });
  });

  test('keeps a mount without --allow-other to itself, also where fuse.conf would allow it', async () => {
    await replaced('/etc/fuse.conf', 'user_allow_other\n');
    expect(await lazydisk('mount', repository, mountpoint, '--fill', 'off')).toMatchObject({ status: 0 });
    expect(await asNobody(...look())).toMatchObject({ status: 0, stdout: `${sum}\n` });
    expect((await asSomebody(NOBODY, ...look())).stderr).toMatch(/Permission denied/);
    expect(await lazydisk('unmount', mountpoint)).toMatchObject({ status: 0 });
  });

  test('is told what root has to allow where fuse.conf has no such line', async () => {
    await replaced('/etc/fuse.conf', '#user_allow_other\n');
    const refused = await lazydisk('mount', repository, mountpoint, '--allow-other');
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^lazydisk: --allow-other is for root alone here: .*user_allow_other.*\.\n$/);
    expect(await mounted()).toBe('');
  });
});
