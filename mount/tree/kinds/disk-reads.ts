/** Reading and seeking, alike for snapshots and heads. */
import type { Disk } from '../../../lib/image/api.js';
import { FsError } from '../../fuse/errno.js';
import type { Caller, Whence } from '../../fuse/file-system.js';

/** The bytes of a range, fewer only at the end of the disk. */
export async function readDisk(disk: Disk, offset: number, lengthBytes: number, caller: Caller): Promise<Uint8Array> {
  if (offset >= disk.sizeBytes()) return new Uint8Array(0);
  return disk.read(offset, lengthBytes, caller.signal);
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE: the end of the disk counts as a hole; ENXIO at or past the end, or after the last data. */
export async function seekDisk(disk: Disk, offset: number, whence: Whence, caller: Caller): Promise<number> {
  if (offset >= disk.sizeBytes()) throw new FsError('ENXIO', `Offset ${offset} is not before the end of the file.`);
  const found = await disk.seek(offset, whence, caller.signal);
  if (found !== undefined) return found;
  if (whence === 'hole') return disk.sizeBytes();
  throw new FsError('ENXIO', `There is no data from offset ${offset} on.`);
}
