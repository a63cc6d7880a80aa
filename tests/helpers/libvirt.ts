/**
 * A libvirtd of a test's own. It has a mount namespace in which every folder that libvirt writes to is a temporary one, and
 * in which there is no /dev/kvm: these machines have one that fails, and libvirt would believe in it. Mounts that are made
 * outside later still appear there.
 */
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { undoLater } from './cleanup.js';
import { isAlive, must, run, start } from './processes.js';
import { temporaryFolder } from './temporary.js';
import { waitFor } from './waiting.js';

const OWN_FOLDERS = ['/etc/libvirt', '/var/lib/libvirt', '/var/cache/libvirt', '/var/log/libvirt'];

export interface Libvirt {
  /** For `virsh -c`, `virt-install --connect`, LIBVIRT_DEFAULT_URI. */
  readonly uri: string;
  /** virsh, which has to succeed. */
  virsh(...args: string[]): Promise<string>;
  /** Domains end with it, at the latest at the clean-up. */
  destroy(domain: string): Promise<void>;
}

export async function startLibvirt(): Promise<Libvirt> {
  const folder = temporaryFolder('libvirt');
  const binds: string[] = [];
  for (const [index, path] of OWN_FOLDERS.entries()) {
    const own = join(folder, String(index));
    if (existsSync(path)) await cp(path, own, { recursive: true, verbatimSymlinks: true });
    await mkdir(own, { recursive: true });
    binds.push(`mkdir -p ${path}; mount --bind ${own} ${path}`);
  }
  // No virtlogd: QEMU's own messages go to a file.
  await writeFile(join(folder, '0/qemu.conf'), 'stdio_handler = "file"\nsecurity_driver = "none"\n');
  const configuration = join(folder, 'libvirtd.conf');
  const sockets = join(folder, 'sockets');
  await mkdir(sockets);
  await writeFile(configuration, `unix_sock_dir = "${sockets}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n`);
  const pidFile = join(folder, 'pid');
  const uri = `qemu:///system?socket=${join(sockets, 'libvirt-sock')}`;
  const script = [...binds, 'mount --bind /dev/null /dev/kvm', `exec libvirtd -f ${configuration} -p ${pidFile}`];
  const daemon = start('unshare', ['--mount', '--propagation', 'slave', 'bash', '-ec', script.join('\n')]);
  const virsh = (...args: string[]): Promise<string> => must('virsh', ['-q', '-c', uri, ...args]);
  const libvirt: Libvirt = {
    uri,
    virsh,
    destroy: async (domain) => {
      await run('virsh', ['-q', '-c', uri, 'destroy', domain]);
    },
  };
  undoLater(async () => {
    // QEMU is no child of libvirtd's and would outlive it.
    if (!isAlive(daemon.pid)) return;
    for (const domain of (await virsh('list', '--name')).split('\n').filter(Boolean)) await libvirt.destroy(domain);
    daemon.kill('SIGTERM');
    await daemon.ended;
  });
  await waitFor('libvirtd answers', async () => {
    if (!isAlive(daemon.pid)) throw new Error(daemon.output());
    await virsh('version');
    return readFile(pidFile, 'utf8');
  });
  return libvirt;
}
