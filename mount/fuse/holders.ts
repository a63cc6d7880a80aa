/**
 * Who holds a mount busy: processes with open files, working folders, roots or mapped files in it, loop devices, and mounts
 * below it. Best effort, for a message: processes of other pid or mount namespaces are not seen. Asks nothing of the mount
 * itself, so the daemon may run it about its own.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { readMountTable } from './mount-table.js';

/** One sentence part per holder: `process 4711 (qemu-system-x86) has disk.raw open`. */
export async function holdersOf(mountpoint: string): Promise<readonly string[]> {
  const below = (path: string) => path === mountpoint || path.startsWith(`${mountpoint}/`);
  const mounts = (await readMountTable())
    .filter((entry) => entry.mountpoint !== mountpoint && below(entry.mountpoint))
    .map((entry) => `${entry.mountpoint} is mounted in it`);
  return [...mounts, ...(await loopDevices(below)), ...(await processes(below))];
}

async function loopDevices(below: (path: string) => boolean): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await list('/sys/block')) {
    if (!name.startsWith('loop')) continue;
    const file = (await text(`/sys/block/${name}/loop/backing_file`)).trim();
    if (below(file)) found.push(`/dev/${name} is a loop device on ${file}`);
  }
  return found;
}

async function processes(below: (path: string) => boolean): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await list('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const use = await useOf(`/proc/${pid}`, below);
    if (use !== undefined) found.push(`process ${pid} (${(await text(`/proc/${pid}/comm`)).trim()}) ${use}`);
  }
  return found;
}

async function useOf(process: string, below: (path: string) => boolean): Promise<string | undefined> {
  for (const descriptor of await list(`${process}/fd`)) {
    const path = await link(`${process}/fd/${descriptor}`);
    if (below(path)) return `has ${path} open`;
  }
  const workingFolder = await link(`${process}/cwd`);
  if (below(workingFolder)) return `works in ${workingFolder}`;
  if (below(await link(`${process}/root`))) return 'has its root in it';
  for (const line of (await text(`${process}/maps`)).split('\n')) {
    const path = line.slice(line.indexOf('/'));
    if (line.includes('/') && below(path)) return `has ${path} mapped`;
  }
  return undefined;
}

// Processes come and go while we look: what can't be read holds nothing that we could name.

async function list(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

async function text(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}

async function link(file: string): Promise<string> {
  return readlink(file).catch(() => '');
}
