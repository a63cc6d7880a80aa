/**
 * What the kernel says is mounted, read from /proc/PID/mountinfo: never by touching a mount, since one whose daemon is dead
 * or stuck would answer with an error or not at all.
 */
import { readFile, readlink, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { errnoOf, LazydiskError } from '../../lib/util/errors.js';

/** The type that our mounts have in the table. */
export const OUR_TYPE = 'fuse.lazydisk';

/** One line of the table. */
export interface MountEntry {
  readonly mountId: number;
  /** `major:minor` of the file system. */
  readonly device: string;
  readonly mountpoint: string;
  readonly type: string;
  readonly source: string;
}

/** The mounts that process `pid` sees, in the order of mounting. */
export async function readMountTable(pid: number | 'self' = 'self'): Promise<MountEntry[]> {
  return parseMountTable(await readFile(`/proc/${String(pid)}/mountinfo`, 'utf8'));
}

/** Lines that do not look like mountinfo are left out. */
export function parseMountTable(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ');
    const [mountId, , device, , mountpoint] = before?.split(' ') ?? [];
    const [type, source] = after?.split(' ') ?? [];
    if (mountId === undefined || device === undefined || mountpoint === undefined || type === undefined) continue;
    entries.push({
      mountId: Number(mountId),
      device,
      mountpoint: unescapeOctal(mountpoint),
      type,
      source: unescapeOctal(source ?? ''),
    });
  }
  return entries;
}

/** What is mounted exactly at `path` (resolved), the topmost; undefined when nothing is. */
export async function mountAt(path: string): Promise<MountEntry | undefined> {
  return (await readMountTable()).findLast((entry) => entry.mountpoint === path);
}

/**
 * The path under which the kernel lists a mountpoint: links resolved, without asking the mount itself. A path that does not
 * exist is NOT_FOUND.
 */
export async function resolveMountpoint(path: string): Promise<string> {
  const absolute = resolve(path);
  try {
    if (absolute === '/') return absolute;
    const target = await readlink(absolute).catch(() => undefined);
    if (target !== undefined) return await realpath(absolute);
    return join(await realpath(dirname(absolute)), basename(absolute));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') {
      throw new LazydiskError('NOT_FOUND', `There is no folder ${absolute}: create it first.`, { cause: error });
    }
    throw error;
  }
}

/** The kernel writes space, tab, newline and backslash as \ooo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
