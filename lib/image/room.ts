/** A full local disk: the mirror gives way, since what it holds can be fetched again; only then is the caller told. */
import type { Mirror } from '../mirror/api.js';
import { errnoOf, LazydiskError } from '../util/errors.js';

/** How much the mirror is asked to free at once: enough for a while of writing. */
const ROOM_BYTES = 64 * 1024 * 1024;

/** Runs `job`, which must bear being repeated; when the disk is full it runs once more after the mirror gave way. NO_SPACE. */
export async function withRoom<T>(mirror: Mirror, job: () => Promise<T>): Promise<T> {
  try {
    return await job();
  } catch (error) {
    if (!isFull(error)) throw error;
    if ((await mirror.giveWay(ROOM_BYTES)) === 0) throw diskFull(error);
    try {
      return await job();
    } catch (again) {
      throw isFull(again) ? diskFull(again) : again;
    }
  }
}

/** Whether a call of node:fs failed because there is no room. */
export function isFull(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}

function diskFull(cause: unknown): LazydiskError {
  return new LazydiskError('NO_SPACE', 'The local disk is full: make room in the state directory.', { cause });
}
