/** mount(8), umount(8), findmnt(8) and fstab(5), with an environment as empty as systemd's. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { mkdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MountStatus } from '../../mount/tree/status-schema.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { datagramSocket } from '../helpers/datagram-socket.js';
import { testDriver } from '../helpers/driver.js';
import { type ImportedImage, KIB, repositoryWithImage } from '../helpers/images.js';
import { installMountHelper } from '../helpers/mount-program.js';
import { mountRepository } from '../helpers/mounts.js';
import { type Ended, must, run } from '../helpers/processes.js';
import { lazydisk, lazydiskJson } from '../helpers/program.js';
import { describeS3, s3Endpoint } from '../helpers/repositories.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const MOUNT = '/usr/bin/mount';

/** Runs a program of mount(8)'s family as systemd does: no HOME, no PATH, no keys. */
function bare(command: string, ...args: string[]): Promise<Ended> {
  return run('/usr/bin/env', ['-i', command, ...args]);
}

interface Place {
  readonly mountpoint: string;
  readonly state: string;
}

/** A folder to mount on and one for state; whatever is mounted there at the end is taken away. */
async function place(): Promise<Place> {
  const folder = await realpath(temporaryFolder('fstab'));
  const mountpoint = join(folder, 'mnt');
  await mkdir(mountpoint);
  undoLater(async () => {
    if ((await mountpointsUnder(mountpoint)).length > 0) await lazydisk(['unmount', mountpoint], { env: RUN });
  });
  return { mountpoint, state: join(folder, 'state') };
}

/** The registry of the system, which is where a bare environment registers. */
const RUN = { LAZYDISK_RUNTIME_DIR: undefined };

/** umount(8) returns when the kernel has let go; the daemon flushes and ends behind it. */
async function unmount({ mountpoint }: Place): Promise<void> {
  const { daemonPid } = (await lazydiskJson(['status', mountpoint], { env: RUN })) as MountStatus;
  await must('umount', [mountpoint]);
  await waitFor('the daemon has ended', () =>
    stat(`/proc/${String(daemonPid)}`).then(
      () => false,
      () => true,
    ),
  );
}

async function shown(mountpoint: string): Promise<{ source: string; type: string; options: string[] }> {
  const columns = await must('findmnt', ['-n', '-r', '-o', 'SOURCE,FSTYPE,OPTIONS', mountpoint]);
  const [source = '', type = '', options = ''] = columns.trim().split(' ');
  return { source, type, options: options.split(',') };
}

(testDriver === 'kernel' ? describe : describe.skip)('mount -t lazydisk', () => {
  cleanUpAfter('all');
  let image: ImportedImage;
  beforeAll(async () => {
    await installMountHelper();
    image = await repositoryWithImage();
  });

  // S58
  test('mounts with the options of -o, findmnt shows them, umount ends the daemon', async () => {
    const at = await place();
    const options = `ro,noexec,nosuid,nodev,allow_other,umask=027,uid=12,gid=disk,state=${at.state}`;
    const ended = await bare(MOUNT, '-t', 'lazydisk', image.repository.url, at.mountpoint, '-o', options);
    expect(ended).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const { source, type, options: flags } = await shown(at.mountpoint);
    expect({ source, type }).toEqual({ source: image.repository.url, type: 'fuse.lazydisk' });
    expect(flags).toEqual(
      expect.arrayContaining(['ro', 'nosuid', 'nodev', 'noexec', 'allow_other', 'default_permissions']),
    );
    const file = join(at.mountpoint, image.name, '1.raw');
    const { uid, gid, mode } = await stat(file);
    expect({ uid, gid, mode: mode & 0o777 }).toEqual({ uid: 12, gid: 6, mode: 0o440 });
    expect(await readRange(file, 0, 64 * KIB)).toEqual(await readRange(image.original, 0, 64 * KIB));
    await unmount(at);
    expect(await mountpointsUnder(at.mountpoint)).toEqual([]);
  });

  // S81
  test('a service manager is told when the mount is there, and whom to watch', async () => {
    const name = `@lazydisk-test-${String(process.pid)}`;
    const socket = datagramSocket(name);
    const env = { NOTIFY_SOCKET: name };
    const { supervisorPid, mountpoint, unmount: end } = await mountRepository({ repository: image.repository, env });
    const status = `${image.repository.url} is mounted on ${mountpoint}`;
    expect(socket.receive()).toBe(`READY=1\nMAINPID=${String(supervisorPid)}\nSTATUS=${status}`);
    await end();
    expect(socket.receive()).toBeUndefined();
  });

  test('fails with status 32 and one sentence, and leaves nothing', async () => {
    const at = await place();
    const failures: readonly (readonly [string, string, RegExp])[] = [
      [image.repository.url, 'novelty', /^mount\.lazydisk: The mount option "novelty" is not known: .*\.\n$/],
      [`${image.repository.url}-not`, `state=${at.state}`, /^lazydisk: .*file:.*-not.*\n$/],
      [image.repository.url, 'gid=nobody-of-that-name', /^lazydisk: --gid takes the name or the number of a group.*\n/],
    ];
    for (const [source, options, message] of failures) {
      const { status, stdout, stderr } = await bare(MOUNT, '-t', 'lazydisk', source, at.mountpoint, '-o', options);
      expect({ source, options, status, stdout }).toEqual({ source, options, status: 32, stdout: '' });
      expect(stderr).toMatch(message);
    }
    expect(await mountpointsUnder(at.mountpoint)).toEqual([]);
  });

  test('-f and -v say what would be done, and do nothing', async () => {
    const at = await place();
    const ended = await bare(MOUNT, '-fv', '-t', 'lazydisk', image.repository.url, at.mountpoint, '-o', 'ro,_netdev');
    expect(ended.status).toBe(0);
    expect(ended.stdout).toContain(
      `mount.lazydisk: lazydisk mount ${image.repository.url} ${at.mountpoint} --read-only\n`,
    );
    expect(await mountpointsUnder(at.mountpoint)).toEqual([]);
  });

  test('-s passes over what is not known', async () => {
    const at = await place();
    const options = `novelty,state=${at.state}`;
    expect(await bare(MOUNT, '-s', '-t', 'lazydisk', image.repository.url, at.mountpoint, '-o', options)).toMatchObject(
      {
        status: 0,
        stderr: '',
      },
    );
    await unmount(at);
  });
});

(testDriver === 'kernel' ? describeS3 : describe.skip)('a line of fstab', () => {
  cleanUpAfter('all');

  // S58
  test('mounts a bucket with a file of credentials, once, however often mount -a is run', async () => {
    await installMountHelper();
    const { repository, name, original } = await repositoryWithImage('s3');
    const at = await place();
    const folder = temporaryFolder('fstab');
    const credentials = join(folder, 'credentials');
    const { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret } = repository.env;
    const keys = `[default]\naws_access_key_id = ${String(key)}\naws_secret_access_key = ${String(secret)}\n`;
    await writeFile(credentials, keys, { mode: 0o600 });
    const fstab = join(folder, 'fstab');
    const options = `_netdev,nofail,allow_other,credentials=${credentials},gid=disk,x-systemd.automount`;
    const local = `endpoint=${s3Endpoint()},state=${at.state}`;
    await writeFile(fstab, `${repository.url} ${at.mountpoint} lazydisk ${options},${local} 0 0\n`);

    expect(await bare(MOUNT, '-a', '-T', fstab)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(await shown(at.mountpoint)).toMatchObject({ source: repository.url, type: 'fuse.lazydisk' });
    expect((await stat(join(at.mountpoint, name, 'disk.raw'))).gid).toBe(6);
    expect(await readRange(join(at.mountpoint, name, 'disk.raw'), 0, 64 * KIB)).toEqual(
      await readRange(original, 0, 64 * KIB),
    );
    // Whatever other tests mount meanwhile.
    const mounts = async (): Promise<string[]> =>
      (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(at.mountpoint));
    const before = await mounts();
    expect(before).toHaveLength(1);
    expect(await bare(MOUNT, '-a', '-T', fstab)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(await mounts()).toEqual(before);
    await unmount(at);

    await rm(credentials);
    const refused = await bare(MOUNT, '-a', '-T', fstab);
    expect(refused.status).not.toBe(0);
    expect(refused.stderr).toMatch(/--credentials can't be read/);
  });
});
