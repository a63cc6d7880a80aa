/**
 * What a commit does not change is kept in the store because the snapshot below it lives. Without that one, nothing may be
 * published that shares its chunks: collection would take them.
 *
 * Normally our lock keeps it, and the listing that the commit has just seen tells. A local clone stands on another image's
 * snapshot, which no lock of ours keeps: there the store is asked for that record itself.
 */
import type { ImageListing, Repository } from '../repository/api.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { parentOf } from './head-record.js';
import type { HeadRecord } from './head-record.js';

/** CONFLICT: the base was deleted. `listing` is that of the head's own image, seen just now. */
export async function assertBaseLives(
  head: HeadRecord,
  listing: Pick<ImageListing, 'snapshots'>,
  repository: Repository,
  signal?: AbortSignal,
): Promise<void> {
  const parent = parentOf(head);
  if (parent === null) return;
  const { image, number, commitId } = parent;
  if (head.origin === null && listing.snapshots.some((snapshot) => snapshot.number === number)) return;
  if (head.origin !== null) {
    const record = await repository.readLivingRecord(image, number, signal).catch((error: unknown) => {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    });
    if (record?.commitId === commitId) return;
  }
  throw new LazydiskError(
    'CONFLICT',
    `${image}@${number}, on which this disk stands, was deleted; its changes are kept. \`lazydisk undelete\` may bring ` +
      'the snapshot back; `lazydisk revert` to another one drops the changes.',
    { facts: { image, number } },
  );
}
