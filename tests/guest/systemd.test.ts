/**
 * A host that boots with lazydisk installed: a line of fstab and the unit, under a real systemd, twice.
 *
 * The host is the root file system of the other tests' guest, with lazydisk put in by `make install`. Its systemd runs as process 1 of
 * namespaces, on this kernel, since a boot in QEMU without KVM takes minutes here; the guest's own kernel could not follow a daemon either.
 */
import { beforeAll, describe, expect, test } from '@jest/globals';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { checksumOf, makeSparseFile } from '../helpers/contents.js';
import { guestImage } from '../helpers/guest.js';
import { MIB, SOME_EXTENTS } from '../helpers/images.js';
import { must } from '../helpers/processes.js';
import { mustLazydisk } from '../helpers/program.js';
import { temporaryFolder } from '../helpers/temporary.js';

const CONTAINER = resolve('tests/tools/systemd-container.sh');
const REPOSITORY = 'file:///srv/repository';
/** Where the partition of the guest's disk begins. */
const PARTITION = 1024 * 1024;
const UNITS = 'etc/systemd/system';
const BOOT_MS = 170_000;

/** What the host's script said, by the name of the fact. */
type Facts = Readonly<Record<string, string>>;

describe('a host under systemd', () => {
  cleanUpAfter('all');
  let folder: string;
  let root: string;
  let original: string;

  beforeAll(async () => {
    folder = temporaryFolder('host');
    root = join(folder, 'root');
    original = join(folder, 'a.raw');
    await mkdir(root);
    await must('cp', ['--sparse=always', await guestImage(), join(folder, 'host.raw')]);
    await makeSparseFile(original, 32 * MIB, SOME_EXTENTS, 1);
    await must('mount', ['-o', `loop,offset=${String(PARTITION)}`, join(folder, 'host.raw'), root]);
    undoLater(async () => void (await must('umount', [root])));
    await furnish(root, original);
  }, BOOT_MS);

  /** Boots the host; resolves when it has powered off. */
  const boot = async (): Promise<Facts> => {
    const console = join(folder, 'console');
    await writeFile(console, '');
    const cgroups = temporaryFolder('cgroups');
    undoLater(async () => void (await must('umount', [cgroups])));
    await must(CONTAINER, [root, console, cgroups], { timeoutMs: BOOT_MS });
    const said = [...(await readFile(console, 'utf8')).matchAll(/^FACT (\w+) ?(.*?)\s*$/gm)];
    return Object.fromEntries(said.map(([, name = '', text = '']) => [name, text]));
  };

  // S58, S81
  test(
    'mounts a line of fstab and the unit before libvirtd, heals, and ends both in order',
    async () => {
      const sum = await checksumOf(original);
      const first = await boot();
      expect(first).toEqual({
        boot: '1',
        mounts: `/mnt/fstab ${REPOSITORY} /mnt/unit ${REPOSITORY}`,
        fstab: 'active 6',
        unit: `active running ${REPOSITORY} is mounted on /mnt/unit`,
        libvirtd: sum,
        sums: `${sum} ${sum}`,
        main: expect.stringContaining('supervisor-main.js'),
        remounted: 'written in the guest',
        died: `${sum} active restarts=0`,
        reloaded: `0 ${sum} active restarts=0`,
        daemons: '3 of one supervisor',
        healed: `1 active ${sum}`,
        done: '',
      });
      expect(await boot()).toEqual({
        boot: '2',
        mounts: first['mounts'],
        fstab: 'active 6',
        unit: first['unit'],
        kept: 'written in the guest',
        // Of fstab's by umount and by the end of the boot; of the unit's by the latter, as the one before was killed.
        ended: '2 1',
        stopped: '0 /mnt/fstab 2 inactive',
        again: '0 inactive 0 inactive 0 inactive',
        done: '',
      });
    },
    2 * BOOT_MS,
  );
});

/** Installs lazydisk and what it is to mount. */
async function furnish(root: string, original: string): Promise<void> {
  const write = async (path: string, text: string, mode = 0o644): Promise<void> => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text, { mode });
  };
  await cp(process.execPath, join(root, 'usr/bin/node'));
  const places = [`DESTDIR=${root}`, 'PREFIX=/usr', 'HELPER_DIR=/sbin', 'UNIT_DIR=/lib/systemd/system'];
  await must('make', ['install', ...places], { env: { LAZYDISK_NODE: '/usr/bin/node' } });
  await mkdir(join(root, 'mnt/fstab'));
  await mustLazydisk(['init', `file://${join(root, 'srv/repository')}`]);
  await mustLazydisk(['import', `file://${join(root, 'srv/repository')}`, original, 'a']);

  const keys = '[default]\naws_access_key_id = none\naws_secret_access_key = none\n';
  await write('etc/lazydisk/credentials', keys, 0o600);
  const own = 'credentials=/etc/lazydisk/credentials,gid=disk,state=/var/lib/lazydisk/fstab';
  // The root of a container is there already.
  await write('etc/fstab', `${REPOSITORY} /mnt/fstab lazydisk _netdev,nofail,allow_other,${own} 0 0\n`);
  const lines = [
    `LAZYDISK_REPOSITORY=${REPOSITORY}`,
    'LAZYDISK_MOUNTPOINT=/mnt/unit',
    'LAZYDISK_OPTIONS=--state /var/lib/lazydisk/unit --fill off',
  ];
  await write('etc/lazydisk/unit.conf', `${lines.join('\n')}\n`);
  const wants = join(root, UNITS, 'multi-user.target.wants');
  await symlink('/lib/systemd/system/lazydisk@.service', join(wants, 'lazydisk@unit.service'));
  // Stands in for libvirt: it finds the disks when it starts.
  const look = `/bin/sh -c 'sha256sum </mnt/unit/a/1.raw | cut -c1-64 >/run/libvirtd-saw'`;
  await write(`${UNITS}/libvirtd.service`, `[Service]\nType=oneshot\nExecStart=${look}\n`);
  await symlink('../libvirtd.service', join(wants, 'libvirtd.service'));
  // Instead of the guest's own work.
  await cp('tests/guest/systemd-workload.sh', join(root, 'usr/local/sbin/guest-workload'));
  const after =
    '[Unit]\nAfter=remote-fs.target lazydisk@unit.service libvirtd.service\n[Service]\nTimeoutStartSec=2min\n';
  await write(`${UNITS}/guest-workload.service.d/after.conf`, after);
}
