/** Mountpoints as verbs and registry name them: without links, found in the kernel's table, never by asking the mount. */
import { mountAt, mountpointPath, readMountTable, type MountEntry } from '../fuse/mount-table.js';
import { errnoOf, LazydiskError } from '../../lib/util/errors.js';

/** The path under which the kernel lists a mountpoint. NOT_FOUND: there is no such folder. USAGE: it can't be one. */
export async function resolveMountpoint(path: string): Promise<string> {
  if (path.includes('://')) {
    throw new LazydiskError('USAGE', `Expected a mountpoint, which is a folder, not the repository ${path}.`);
  }
  try {
    return await mountpointPath(path);
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT') {
      throw new LazydiskError('NOT_FOUND', `There is no folder ${path}: a mountpoint is an empty folder that exists.`, {
        cause: error,
      });
    }
    if (code === 'ENOTDIR' || code === 'EACCES' || code === 'ELOOP') {
      throw new LazydiskError('USAGE', `The mountpoint ${path} can't be used (${code}): name an empty folder.`, {
        cause: error,
      });
    }
    throw error;
  }
}

/** What is mounted exactly at a resolved path; undefined when nothing is. */
export async function mountedAt(path: string): Promise<MountEntry | undefined> {
  return mountAt(await readMountTable(), path);
}

/** Whether `path` is `folder` or lies below it. Both absolute and resolved. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
