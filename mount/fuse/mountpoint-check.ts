/**
 * What every driver asks of a mountpoint before it mounts: after the mount nothing may touch it, since nobody answers yet.
 */
import { readdir, stat } from 'node:fs/promises';
import { errnoOf, LazydiskError } from '../../lib/util/errors.js';
import { FILE_SYSTEM_TYPE, mountAt, mountpointPath, readMountTable } from './mount-table.js';

/**
 * The path without symbolic links. LazydiskError: NOT_FOUND (no such folder), USAGE (not a folder,
 * not empty), EXISTS (a mount is there already), CONFLICT (a dead mount is there: `clearStaleMount`).
 */
export async function checkMountpoint(path: string): Promise<string> {
  let mountpoint: string;
  try {
    mountpoint = await mountpointPath(path);
    const entry = mountAt(await readMountTable(), mountpoint);
    if (entry?.type === FILE_SYSTEM_TYPE) await stat(mountpoint);
    if (entry !== undefined) {
      throw new LazydiskError(
        'EXISTS',
        `${mountpoint} is a mount already (${entry.type} of ${entry.source}): unmount it first.`,
        { facts: { mountpoint, source: entry.source, type: entry.type } },
      );
    }
    if (!(await stat(mountpoint)).isDirectory()) {
      throw new LazydiskError('USAGE', `The mountpoint ${mountpoint} must be an empty folder, and is not a folder.`);
    }
    if ((await readdir(mountpoint)).length > 0) {
      throw new LazydiskError('USAGE', `The mountpoint ${mountpoint} must be an empty folder, and has files in it.`);
    }
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT') {
      throw new LazydiskError('NOT_FOUND', `The mountpoint ${path} does not exist: make the folder first.`);
    }
    if (code === 'ENOTDIR') {
      throw new LazydiskError('USAGE', `The mountpoint ${path} must be an empty folder, and is not a folder.`);
    }
    if (code === 'ENOTCONN') {
      throw new LazydiskError('CONFLICT', `${path} is the mount of a daemon that is gone: unmount it first.`);
    }
    throw error;
  }
  return mountpoint;
}
