/** A guest under libvirt, by the files of examples/libvirt: its own user reads and writes the disk, and a commit is taken while the guest is frozen. */
import { expect, test } from '@jest/globals';
import { readdirSync } from 'node:fs';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { guestImage } from '../helpers/guest.js';
import { addKernelWords, insideDisk, PARTITION_OFFSET } from '../helpers/guest-disk.js';
import { importFile } from '../helpers/images.js';
import { startLibvirt } from '../helpers/libvirt.js';
import { mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { mustLazydisk } from '../helpers/program.js';
import { createRepository } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const DOMAIN = resolve('examples/libvirt/domain.xml');
const COMMIT_FROZEN = resolve('examples/libvirt/commit-frozen.sh');
const MAIN = resolve('dist/mount/cli/main.js');
/** Filled by tests/tools/install-test-tools.sh. */
const AGENT_PACKAGES = resolve('.cache/guest-agent');

/** The agent, a boot that stays up, and a file that is written without end. */
async function prepare(root: string): Promise<void> {
  const packages = readdirSync(AGENT_PACKAGES).filter((file) => file.endsWith('.deb'));
  expect(packages.length).toBeGreaterThan(0);
  for (const file of packages) {
    // Not `dpkg -x`, which would put a folder in the place of the link /lib.
    const unpack = 'dpkg-deb --fsys-tarfile "$0" | tar -x --keep-directory-symlink -C "$1"';
    await must('bash', ['-o', 'pipefail', '-c', unpack, join(AGENT_PACKAGES, file), root]);
  }
  await addKernelWords(root, 'guest.idle');
  const units = join(root, 'etc/systemd/system');
  await writeFile(
    join(units, 'busy.service'),
    '[Service]\nExecStart=/bin/sh -c "while :; do date +%%N >>/var/tmp/busy; sync /var/tmp/busy; done"\n',
  );
  const wants = join(units, 'multi-user.target.wants');
  await symlink('../busy.service', join(wants, 'busy.service'));
  await symlink('/lib/systemd/system/qemu-guest-agent.service', join(wants, 'qemu-guest-agent.service'));
}

cleanUpAfter('each');

test('it boots as libvirt’s own user, is committed frozen while it writes, and the file system in the snapshot is clean', async () => {
  const repository = await createRepository('file');
  await importFile(repository, await guestImage(), 'debian-12');
  const mounted = await mountRepository({ repository, options: ['--allow-other'] });
  await mustLazydisk(['clone', mounted.mountpoint, 'debian-12', 'vm-01'], { env: repository.env });
  const disk = mounted.path('vm-01');
  await insideDisk(disk, prepare);

  const libvirt = await startLibvirt();
  const folder = temporaryFolder('domain');
  const consoleLog = join(folder, 'console');
  const xml = (await readFile(DOMAIN, 'utf8'))
    .replace("type='kvm'", "type='qemu'")
    .replace('2048', '512')
    .replace('<vcpu>2', '<vcpu>1')
    .replace('/srv/lab', mounted.mountpoint)
    .replace('/var/log/libvirt/qemu/vm-01.console', consoleLog);
  const domain = join(folder, 'domain.xml');
  await writeFile(domain, xml);
  await libvirt.virsh('create', domain);
  const owner = Number(await must('id', ['-u', 'libvirt-qemu']));
  expect((await stat(disk)).uid).toBe(owner);
  await waitFor('the agent answers', () => libvirt.virsh('qemu-agent-command', 'vm-01', '{"execute":"guest-ping"}'), {
    timeoutMs: 300_000,
    intervalMs: 500,
  });

  const programs = join(folder, 'bin');
  await mkdir(programs);
  await writeFile(join(programs, 'lazydisk'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, {
    mode: 0o755,
  });
  const env = {
    ...repository.env,
    PATH: `${programs}:${process.env['PATH'] ?? ''}`,
    LIBVIRT_DEFAULT_URI: libvirt.uri,
  };
  const said = await must(COMMIT_FROZEN, ['vm-01', mounted.mountpoint, 'frozen'], { env });
  expect(said).toMatch(/Froze 1 filesystem/);
  expect(said).toMatch(/Thawed 1 filesystem/);
  expect(await libvirt.virsh('domfsinfo', 'vm-01')).toMatch(/ext4/);

  // beside it, a commit that nobody told the guest about: its file system says that it wants its journal replayed
  await mustLazydisk(['commit', mounted.mountpoint, 'vm-01'], { env: repository.env });
  expect(await features(mounted.path('vm-01', '2.raw'))).not.toMatch(/needs_recovery/);
  expect(await features(mounted.path('vm-01', '3.raw'))).toMatch(/needs_recovery/);
  await must('e2fsck', ['-fn', `${mounted.path('vm-01', '2.raw')}?offset=${String(PARTITION_OFFSET)}`]);

  await libvirt.destroy('vm-01');
  expect((await stat(disk)).uid).toBe(0);
}, 900_000);

test('virt-install makes the same disk of the line in examples/libvirt.md', async () => {
  const line = /^virt-install[^`]*/m.exec(await readFile(resolve('examples/libvirt.md'), 'utf8'))?.[0] ?? '';
  const words = line.replace(/\\\n/g, ' ').trim();
  const folder = temporaryFolder('virt-install');
  await mkdir(join(folder, 'vm-01'));
  await writeFile(join(folder, 'vm-01/disk.raw'), '', { flag: 'w' });
  const xml = await must('bash', [
    '-c',
    `${words.replace('/srv/lab', folder)} --connect test:///default --dry-run --print-xml`,
  ]);
  const wanted = /<driver[^>]*cache='none'[^>]*\/>/.exec(await readFile(DOMAIN, 'utf8'))?.[0] ?? '';
  const attributes = (element: string): string[] =>
    (element.match(/\w+=["'][^"']*["']/g) ?? []).map((text) => text.replace(/"/g, "'")).sort();
  expect(attributes(/<driver name=[^>]*type="raw"[^>]*\/>/.exec(xml)?.[0] ?? '')).toEqual(attributes(wanted));
});

/** Features of the ext4 file system in a raw image. */
async function features(disk: string): Promise<string> {
  const device = (await must('losetup', ['-rf', '--show', '-o', String(PARTITION_OFFSET), disk])).trim();
  try {
    return /features:.*/.exec(await must('dumpe2fs', ['-h', device]))?.[0] ?? '';
  } finally {
    await must('losetup', ['-d', device]);
  }
}
