/**
 * Who keeps a mount busy: processes that have a file of it open, mapped, or as their folder, and loop devices on its files.
 *
 * Only /proc and /sys are read (their links give paths without asking the mount), so this works from within the daemon
 * that serves the mount, and on a mount whose daemon is stuck. It is a message for people: what can't be read is left out.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';

/** One reason why an unmount is refused. */
export interface Holder {
  /** undefined for a loop device. */
  readonly pid?: number;
  /** The command of the process, or the loop device. */
  readonly name: string;
  readonly path: string;
}

/** At most `limit` holders, one per process. */
export async function findHolders(mountpoint: string, limit = 8): Promise<Holder[]> {
  const holders: Holder[] = [];
  for (const loop of await loopHolders(mountpoint)) holders.push(loop);
  for (const name of await readdir('/proc').catch(() => [])) {
    if (holders.length >= limit) break;
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const path = await heldBy(name, mountpoint);
    if (path === undefined) continue;
    const command = await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '?');
    holders.push({ pid: Number(name), name: command.trim(), path });
  }
  return holders;
}

/** `qemu-system-x86 (pid 4711) has /mnt/vm/disk.raw`, joined with commas. */
export function describeHolders(holders: readonly Holder[]): string {
  if (holders.length === 0) return 'a process that could not be identified, or a mount below it, holds it';
  return holders
    .map(({ pid, name, path }) => `${name}${pid === undefined ? '' : ` (pid ${String(pid)})`} has ${path}`)
    .join(', ');
}

async function heldBy(pid: string, mountpoint: string): Promise<string | undefined> {
  const base = `/proc/${pid}`;
  for (const link of ['cwd', 'root', 'exe']) {
    const path = await readlink(`${base}/${link}`).catch(() => undefined);
    if (path !== undefined && isWithin(path, mountpoint)) return path;
  }
  for (const fd of await readdir(`${base}/fd`).catch(() => [])) {
    const path = await readlink(`${base}/fd/${fd}`).catch(() => undefined);
    if (path !== undefined && isWithin(path, mountpoint)) return path;
  }
  const maps = await readFile(`${base}/maps`, 'utf8').catch(() => '');
  for (const line of maps.split('\n')) {
    const path = line.slice(line.indexOf('/'));
    if (line.includes('/') && isWithin(path, mountpoint)) return path;
  }
  return undefined;
}

async function loopHolders(mountpoint: string): Promise<Holder[]> {
  const holders: Holder[] = [];
  for (const name of await readdir('/sys/block').catch(() => [])) {
    if (!name.startsWith('loop')) continue;
    const file = (await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '')).trim();
    if (isWithin(file, mountpoint)) holders.push({ name: `/dev/${name}`, path: file });
  }
  return holders;
}

/** Whether `path` is `folder` or lies below it. Both absolute. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
