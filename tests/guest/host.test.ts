/**
 * A host of its own, booted in QEMU: the Debian package is installed there, a line of fstab and the unit mount a bucket over the network, and
 * it restarts and powers off with a disk in use.
 *
 * systemd.test.ts shows the same units on this kernel, where a daemon can be followed; the host's own, 6.1, can't.
 */
import { beforeAll, expect, test } from '@jest/globals';
import { cp, mkdir, open, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { makeSparseFile, readRange } from '../helpers/contents.js';
import { bootGuest, guestImage } from '../helpers/guest.js';
import { insideDisk, PARTITION_OFFSET } from '../helpers/guest-disk.js';
import { importFile, MIB, SOME_EXTENTS } from '../helpers/images.js';
import { makeNodePackage } from '../helpers/node-package.js';
import { must } from '../helpers/processes.js';
import { mustLazydisk } from '../helpers/program.js';
import { createRepository, describeS3, s3Endpoint, type TestRepository } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';

const UNITS = 'etc/systemd/system';
/** With another test beside it, all of it takes seven minutes. */
const RUN_MS = 1_200_000;
/** Where the guest sees this host. */
const GATEWAY = '10.0.2.2';

describeS3('a host in QEMU', () => {
  cleanUpAfter('all');
  let folder: string;
  let disk: string;
  let packages: string;
  let repository: TestRepository;

  beforeAll(async () => {
    folder = temporaryFolder('host');
    disk = join(folder, 'host.raw');
    repository = await createRepository('s3');
    const original = join(folder, 'a.raw');
    await makeSparseFile(original, 32 * MIB, SOME_EXTENTS, 1);
    await overwriteStart(original, 'original');
    await importFile(repository, original, 'a');
    await must('cp', ['--sparse=always', await guestImage(), disk]);
    await insideDisk(disk, furnish);
    packages = await makePackageDisk(folder, repository);
  }, RUN_MS);

  // S58, S81
  test(
    'gets the package by dpkg, mounts at the next boot what fstab and the unit say, and loses nothing of a disk that is in use to the end',
    async () => {
      const machine = { memoryMib: 1024, network: 'user', atReboot: 'boot again', secondDisk: packages } as const;
      const console = await bootGuest(disk, join(folder, 'reads'), machine).ended;
      const [first = '', second = ''] = console.split(/(?=^FACT boot 2\s*$)/m);
      const source = repository.url;
      const line = `/mnt/fstab ${source} fuse.lazydisk`;
      expect(factsOf(first)).toEqual({
        boot: '1',
        dpkg: '0 lazydisk: installed; nodejs: installed;',
        all: `0 ${line}`,
        none: '0',
        fstab: `0 ${line}`,
        done: '',
      });
      const facts = factsOf(second);
      const kept = String(facts['kept']);
      expect(facts).toEqual({
        boot: '2',
        mounts: `${line} /mnt/unit ${source} fuse.lazydisk`,
        after: '1',
        libvirtd: `${kept}original`,
        unit: `active ${source} is mounted on /mnt/unit`,
        told: expect.stringContaining('before Linux 6.9'),
        kept: expect.stringMatching(/^\d{8}$/),
        nogroup: expect.stringMatching(/Permission denied$/),
        commit: expect.stringMatching(/^0 a@2: /),
        done: '',
      });
      // One more may have been written that nobody could tell any more.
      expect([lastSynced(first), lastSynced(first) + 1]).toContain(Number(kept));
      await mustLazydisk(['export', repository.url, 'a@2', join(folder, 'committed.raw')], { env: repository.env });
      expect((await readRange(join(folder, 'committed.raw'), 0, 8)).toString()).toBe(kept);

      // Three daemons: by hand, by systemd, and of the second boot. Each ended in order, and so did the host.
      const log = await insideDisk(disk, (root) =>
        readFile(join(root, 'var/lib/lazydisk/mnt/fstab/daemon.log'), 'utf8'),
      );
      expect(log.match(/"message":"Ended.","clean":\w+/g)).toEqual(Array(3).fill('"message":"Ended.","clean":true'));
      await must('e2fsck', ['-fn', `${disk}?offset=${String(PARTITION_OFFSET)}`]);
    },
    RUN_MS,
  );
});

/** What the host's script said, by the name of the fact. */
function factsOf(console: string): Record<string, string> {
  const said = [...console.matchAll(/^FACT (\w+) ?(.*?)\s*$/gm)];
  return Object.fromEntries(said.map(([, name = '', text = '']) => [name, text]));
}

/** The last number that the guest knew to be on the disk. */
function lastSynced(console: string): number {
  return Math.max(...[...console.matchAll(/^SYNCED (\d+)\s*$/gm)].map(([, number]) => Number(number)));
}

async function overwriteStart(path: string, text: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(text, 0);
  await file.close();
}

/** A network, a stand-in for libvirt, and the script instead of the guest's own work. */
async function furnish(root: string): Promise<void> {
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  };
  await write('etc/systemd/network/all.network', '[Match]\nType=ether\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n');
  await must('chroot', [root, 'systemctl', '--quiet', 'enable', 'systemd-networkd']);
  await cp('tests/guest/host-workload.sh', join(root, 'usr/local/sbin/guest-workload'));
  await cp('tests/guest/host-busy.sh', join(root, 'usr/local/sbin/host-busy'));
  const wanted = ['network-online.target', 'mnt-fstab.mount', 'lazydisk@unit.service'];
  const order = `[Unit]\nWants=network-online.target\nAfter=${wanted.join(' ')} libvirtd.service\n`;
  await write(`${UNITS}/guest-workload.service.d/after.conf`, order);
  // It finds the disks when it starts.
  const look = `-/bin/sh -c 'head -qc 8 /mnt/fstab/a/disk.raw /mnt/unit/a/1.raw >/run/libvirtd-saw'`;
  await write(`${UNITS}/libvirtd.service`, `[Service]\nType=oneshot\nExecStart=${look}\n`);
  await symlink('../libvirtd.service', join(root, UNITS, 'multi-user.target.wants/libvirtd.service'));
}

/** A disk with the packages of node and lazydisk, and with what an administrator writes. */
async function makePackageDisk(folder: string, repository: TestRepository): Promise<string> {
  const files = join(folder, 'packages');
  await mkdir(files);
  await makeNodePackage(join(files, 'nodejs.deb'));
  const [, lazydisk = ''] = /^made (.+)$/m.exec(await must('make', ['--no-print-directory', 'deb'])) ?? [];
  await cp(lazydisk, join(files, 'lazydisk.deb'));

  const endpoint = new URL(s3Endpoint());
  endpoint.hostname = GATEWAY;
  const { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret } = repository.env;
  const keys = `[default]\naws_access_key_id = ${String(key)}\naws_secret_access_key = ${String(secret)}\n`;
  await writeFile(join(files, 'credentials'), keys);
  const options = [
    ...[
      '_netdev',
      'nofail',
      'allow_other',
      'credentials=/etc/lazydisk/credentials',
      'gid=kvm',
      `endpoint=${endpoint.origin}`,
    ],
    ...['state=/var/lib/lazydisk/mnt/fstab', 'x-systemd.before=libvirtd.service', 'x-systemd.mount-timeout=5min'],
  ];
  await writeFile(join(files, 'fstab'), `${repository.url} /mnt/fstab lazydisk ${options.join(',')} 0 0\n`);
  const words = `--credentials /etc/lazydisk/credentials --endpoint ${endpoint.origin} --state /var/lib/lazydisk/unit --fill off`;
  const conf = [`LAZYDISK_REPOSITORY=${repository.url}`, 'LAZYDISK_MOUNTPOINT=/mnt/unit', `LAZYDISK_OPTIONS=${words}`];
  await writeFile(join(files, 'unit.conf'), `${conf.join('\n')}\n`);

  const disk = join(folder, 'packages.raw');
  await must('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-d', files, disk, '256M']);
  return disk;
}
