/** Users other than root, by the real fusermount3: whatever is done here is done as nobody, with nothing of root's. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { chmod, chown, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { makeSparseFile, readRange } from '../helpers/contents.js';
import { testDriver } from '../helpers/driver.js';
import { KIB, MIB, SOME_EXTENTS } from '../helpers/images.js';
import { NOBODY, type OtherUser, otherUser } from '../helpers/other-user.js';
import { childrenOf, type Ended, isAlive, must, run, start } from '../helpers/processes.js';
import { mountpointsUnder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

interface Launched {
  readonly daemonPid: number;
  readonly supervisorPid: number;
  readonly stateDirectory: string;
}

(testDriver === 'kernel' ? describe : describe.skip)('a user who is not root', () => {
  cleanUpAfter('all');
  let user: OtherUser;
  let folder: string;
  let repository: string;
  let mountpoint: string;
  let original: string;
  let main: string;

  const asNobody = (command: string, ...args: string[]): Promise<Ended> => run('setpriv', user.words(command, args));
  const lazydisk = (...args: string[]): Promise<Ended> => asNobody(process.execPath, main, ...args);
  const mustLazydisk = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await lazydisk(...args);
    if (status === 0) return stdout;
    throw new Error(`lazydisk ${args.join(' ')}: status ${String(status)}\n${stdout}${stderr}`);
  };
  const mount = async (...options: string[]): Promise<Launched> =>
    JSON.parse(await mustLazydisk('mount', repository, mountpoint, '--fill', 'off', '--json', ...options)) as Launched;
  const gone = async ({ daemonPid, supervisorPid }: Launched): Promise<void> => {
    await waitFor('daemon and supervisor have ended', () => !isAlive(daemonPid) && !isAlive(supervisorPid));
    expect(await mountpointsUnder(mountpoint)).toEqual([]);
  };

  beforeAll(async () => {
    user = await otherUser();
    ({ folder } = user);
    main = join(user.project, 'dist/mount/cli/main.js');
    repository = `file://${join(folder, 'repository')}`;
    mountpoint = join(folder, 'mnt');
    original = join(folder, 'original.raw');
    await mkdir(mountpoint);
    await chown(mountpoint, NOBODY, NOBODY);
    await makeSparseFile(original, 32 * MIB, SOME_EXTENTS, 1);
    await mustLazydisk('init', repository);
    await mustLazydisk('import', repository, original, 'base');
    undoLater(async () => {
      for (const path of await mountpointsUnder(mountpoint)) await run('umount', ['-l', path]);
    });
  });

  const dd = (words: string): Promise<Ended> => asNobody('sh', '-c', `dd status=none ${words}`);

  // S80
  test('mounts, writes, and loses nothing when the daemon dies', async () => {
    const mounted = await mount();
    expect(mounted).toMatchObject({ survivable: true, stateDirectory: expect.stringContaining(`${folder}/states/`) });
    expect(await must('findmnt', ['-n', '-r', '-o', 'SOURCE,FSTYPE', mountpoint])).toBe(
      `${repository} fuse.lazydisk\n`,
    );
    const disk = join(mountpoint, 'base', 'disk.raw');
    expect(await dd(`if=${original} of=${disk} bs=64K count=1 seek=100 conv=notrunc`)).toMatchObject({ status: 0 });

    const [daemon] = await childrenOf(mounted.supervisorPid);
    process.kill(daemon!, 'SIGKILL');
    const copy = join(folder, 'copy.raw');
    expect(await dd(`if=${disk} of=${copy} bs=1M`)).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    const expected = await readRange(original, 0, 32 * MIB);
    expected.copy(expected, 6400 * KIB, 0, 64 * KIB);
    expect(expected.equals(await readRange(copy, 0, 32 * MIB))).toBe(true);
    const [next] = await childrenOf(mounted.supervisorPid);
    expect(next).not.toBe(daemon);

    // Nobody else gets in, not even root.
    await expect(readdir(mountpoint)).rejects.toMatchObject({ code: 'EACCES' });
    expect(await mustLazydisk('unmount', mountpoint)).toBe(`unmounted ${mountpoint}\n`);
    await gone({ ...mounted, daemonPid: next! });
  });

  test('is told who holds a mount that is busy, and fusermount3 -u ends the daemon too', async () => {
    const mounted = await mount();
    const disk = join(mountpoint, 'base', 'disk.raw');
    const holder = start('setpriv', user.words('sh', ['-c', `exec 3<${disk}; echo open; exec sleep 1000`]));
    await waitFor('the file is open', () => holder.output() === 'open\n');
    const busy = await lazydisk('unmount', mountpoint);
    expect(busy).toMatchObject({ status: 4, stderr: expect.stringMatching(/is in use: .*sleep/) });
    expect(await mountpointsUnder(mountpoint)).toEqual([mountpoint]);
    holder.kill();
    await holder.ended;
    expect(await asNobody('fusermount3', '-u', mountpoint)).toMatchObject({ status: 0 });
    await gone(mounted);
  });

  test('mounts again where daemon and supervisor were killed', async () => {
    const mounted = await mount();
    const pids = [mounted.supervisorPid, ...(await childrenOf(mounted.supervisorPid))];
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await waitFor('all have ended', () => !pids.some(isAlive));
    expect(await mountpointsUnder(mountpoint)).toEqual([mountpoint]);
    const again = await mount();
    expect(await mountpointsUnder(mountpoint)).toEqual([mountpoint]);
    const log = await readFile(join(again.stateDirectory, 'daemon.log'), 'utf8');
    expect(log).toContain('The mount of a daemon that is gone was cleared.');
    await mustLazydisk('unmount', mountpoint);
    await gone(again);
  });

  test('a mount without a background ends with its process', async () => {
    const words = ['mount', repository, mountpoint, '--foreground', '--read-only', '--noexec'];
    const foreground = start('setpriv', user.words(process.execPath, [main, ...words]));
    await waitFor('it is mounted', () => foreground.output().includes('mounted file:'));
    const options = await must('findmnt', ['-n', '-r', '-o', 'OPTIONS', mountpoint]);
    expect(options.trim().split(',')).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec']));
    foreground.kill('SIGTERM');
    expect(await foreground.ended).toMatchObject({ status: 0 });
    expect(await mountpointsUnder(mountpoint)).toEqual([]);
  });

  test('is told in one sentence what root has to allow', async () => {
    const foreign = join(folder, 'foreign');
    await mkdir(foreign, 0o755);
    const refused = await lazydisk('mount', repository, foreign);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^lazydisk: fusermount3 did not mount on .*foreign: .*\.\n$/);

    const native = await lazydisk('mount', repository, mountpoint, '--driver', 'fuse-native');
    expect(native).toMatchObject({ status: 1, stderr: expect.stringMatching(/fuse-native is for root/) });

    await chmod('/dev/fuse', 0o600);
    const closed = await lazydisk('mount', repository, mountpoint).finally(() => chmod('/dev/fuse', 0o666));
    expect(closed).toMatchObject({ status: 1, stderr: expect.stringMatching(/may not open \/dev\/fuse here/) });

    const without = await asNobody('env', 'PATH=/nowhere', process.execPath, main, 'mount', repository, mountpoint);
    expect(without).toMatchObject({ status: 1, stderr: expect.stringMatching(/install the package fuse3/) });
    expect(await mountpointsUnder(mountpoint)).toEqual([]);
  });
});
