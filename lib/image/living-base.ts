/**
 * What a commit does not change is kept in the store because the snapshot below it lives. Without that one, nothing may be
 * published that shares its chunks: collection would take them.
 *
 * A commit asks the store for that record itself, beside its other questions, and compares the commit's id: in a store that was
 * put back to an earlier state, another host may have published something else under that number. An open for writing, which
 * publishes nothing, looks for the number in the listing that it has seen; a local clone, whose base is another image's, asks.
 */
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { ImageListing, Repository } from '../repository/api.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { parentOf } from './head-record.js';
import type { HeadRecord } from './head-record.js';

/** The head's base is there. CONFLICT: it was deleted, or is another one. One GET, unless the head has no base. */
export async function assertBaseLives(head: HeadRecord, repository: Repository, signal?: AbortSignal): Promise<void> {
  const parent = parentOf(head);
  if (parent === null) return;
  const { image, number, commitId } = parent;
  let found: SnapshotRecord;
  try {
    found = await repository.readLivingRecord(image, number, signal);
  } catch (error) {
    // No collection takes anything while it is there, and what is published over it is whole without it.
    if (hasCode(error, 'DAMAGED')) return;
    throw hasCode(error, 'NOT_FOUND') ? baseDeleted(image, number) : error;
  }
  if (found.commitId === commitId) return;
  throw new LazydiskError(
    'CONFLICT',
    `${image}@${number} in the store is another snapshot than the one on which this disk stands, as when a store was put back to ` +
      'an earlier state; the changes are kept. Save what can be read with `lazydisk import <mountpoint>/' +
      `${image}/disk.raw <repository> NEW-IMAGE\`; \`lazydisk revert\` drops the changes.`,
    { facts: { image, number } },
  );
}

/** The same as far as `listing`, that of the head's own image seen just now, tells it. CONFLICT: the base was deleted. */
export async function assertBaseIsListed(
  head: HeadRecord,
  listing: Pick<ImageListing, 'snapshots'>,
  repository: Repository,
  signal?: AbortSignal,
): Promise<void> {
  if (head.origin !== null) return assertBaseLives(head, repository, signal);
  const { base, image } = head;
  if (base === null || listing.snapshots.some(({ number }) => number === base.number)) return;
  throw baseDeleted(image, base.number);
}

function baseDeleted(image: string, number: number): LazydiskError {
  return new LazydiskError(
    'CONFLICT',
    `${image}@${number}, on which this disk stands, was deleted; its changes are kept. \`lazydisk undelete\` may bring ` +
      'the snapshot back; `lazydisk revert` to another one drops the changes.',
    { facts: { image, number } },
  );
}
