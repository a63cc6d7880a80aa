/**
 * What the kernel says is mounted (/proc/self/mountinfo), and mounts of ours whose daemon is gone.
 *
 * Reading the table asks nothing of any mounted file system. Asking whether a mount is dead does: it is done by statfs in
 * libuv's pool with a limit, and never by the daemon about a mount that it serves.
 */
import { readFile, realpath, statfs } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf } from '../../lib/util/errors.js';
import { detach } from './unmounting.js';

/** The type under which mounts of lazydisk are listed. */
export const FILE_SYSTEM_TYPE = 'fuse.lazydisk';

/** A mount that does not answer for so long is slow, not dead: a dead one answers at once. */
const ASK_LIMIT_MS = 5000;

export interface MountEntry {
  /** `major:minor`: names the file system, wherever it is mounted. */
  readonly device: string;
  readonly mountpoint: string;
  readonly type: string;
  readonly source: string;
}

/** Entries in the order of the kernel: of several on one folder, the last is the one that is seen. */
export async function readMountTable(): Promise<readonly MountEntry[]> {
  return parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** Parses the text of /proc/PID/mountinfo. Lines that are not understood are left out. */
export function parseMountTable(text: string): readonly MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ', 2);
    const device = left?.split(' ')[2];
    const mountpoint = left?.split(' ')[4];
    const [type, source] = right?.split(' ') ?? [];
    if (device === undefined || mountpoint === undefined || type === undefined || source === undefined) continue;
    entries.push({ device, mountpoint: unescape(mountpoint), type, source: unescape(source) });
  }
  return entries;
}

/** The mount that is seen at the path, if the path is a mount point. */
export function mountAt(table: readonly MountEntry[], mountpoint: string): MountEntry | undefined {
  return table.findLast((entry) => entry.mountpoint === mountpoint);
}

/** The path without symbolic links, without touching its last part: that one may be a dead mount. */
export async function mountpointPath(path: string): Promise<string> {
  const absolute = resolve(path);
  if (absolute === '/') return absolute;
  const plain = join(await realpath(dirname(absolute)), basename(absolute));
  if (mountAt(await readMountTable(), plain) !== undefined) return plain;
  return realpath(plain);
}

/** Whether the path is a mount of lazydisk whose daemon is gone. False when there is no such path. */
export async function isStaleMount(path: string): Promise<boolean> {
  let mountpoint: string;
  try {
    mountpoint = await mountpointPath(path);
  } catch (error) {
    if (errnoOf(error) !== undefined) return false;
    throw error;
  }
  if (mountAt(await readMountTable(), mountpoint)?.type !== FILE_SYSTEM_TYPE) return false;
  const limit = new AbortController();
  try {
    return await Promise.race([
      // Never from the kernel's cache, which answers stat(2) for a second after the daemon has died.
      statfs(mountpoint).then(
        () => false,
        (error: unknown) => errnoOf(error) === 'ENOTCONN',
      ),
      delay(ASK_LIMIT_MS, false, { signal: limit.signal }),
    ]);
  } finally {
    limit.abort();
  }
}

/**
 * Takes away mounts of lazydisk at the path whose daemons are gone; returns how many. Detached lazily, since nothing can be
 * lost in a dead one, and who still holds it could never let go otherwise. A live mount is left alone.
 */
export async function clearStaleMount(path: string): Promise<number> {
  let cleared = 0;
  while (await isStaleMount(path)) {
    await detach(await mountpointPath(path));
    cleared++;
  }
  return cleared;
}

/** Blanks and the like are written as three octal digits. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
