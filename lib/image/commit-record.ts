/**
 * The record of a commit: whose the records are that came meanwhile, and the put that makes the snapshot be there.
 *
 * Before publishing, every record that is newer than what this head has seen is asked whose it is: our own late PUT is
 * adopted, one that a revert threw away is passed over, a foreign one is a conflict in which nobody loses anything.
 */
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { ImageSummary, WrittenSnapshot } from '../repository/api.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { startStopwatch } from '../util/stopwatch.js';
import type { CommitOptions, CommitParts } from './commit.js';
import type { DiskView } from './disk-reader.js';
import { parentOf } from './head-record.js';
import type { LocalHead } from './head.js';
import { assertBaseLives } from './living-base.js';

/**
 * Asks whose the records are that this head has not seen: adopts a late PUT of ours, passes over an abandoned one. CONFLICT
 * when another host has published and this head has changes. Resolves to what the image's listing said (one LIST).
 */
export async function reconcile(head: LocalHead, parts: CommitParts, signal?: AbortSignal): Promise<ImageSummary> {
  const { image } = head.record;
  const listing = await parts.repository.summarizeImage(image, signal);
  for (const { number } of listing.snapshots) {
    if (number <= head.record.seenNumber) continue;
    const record = await parts.repository.readRecord(image, number, signal);
    const ours = record.writerId === parts.stateId && record.imageId === head.record.imageId;
    if (ours && head.record.abandonedCommitIds.includes(record.commitId)) {
      await head.passOver(number);
    } else if (ours && head.record.layers.some((layer) => layer.commitIds.includes(record.commitId))) {
      await head.adopt(record, signal);
    } else if (head.isDirty() || head.isLocal) {
      throw new LazydiskError(
        'CONFLICT',
        `${image}@${number} was published by another host; the changes of this disk are kept, but they cannot become the ` +
          `next snapshot: save them with \`lazydisk commit <mountpoint> ${image} --as NEW-IMAGE\`.`,
        { facts: { image, number } },
      );
    }
  }
  return listing;
}

/**
 * Publishes the record; undefined when the base moved meanwhile. Two round trips: all that has to be seen is asked at once, right
 * before the put. The listing tells of deleted numbers too, so that the number's tombstone is not asked for.
 */
export async function publish(
  head: LocalHead,
  view: DiskView,
  written: WrittenSnapshot,
  commitId: string,
  parts: CommitParts,
  options: CommitOptions,
): Promise<SnapshotRecord | undefined> {
  const { image, imageId, base } = head.record;
  for (;;) {
    const sourceAgeMs = startStopwatch();
    const confirmed = Promise.all([
      written.confirm(options.signal),
      assertBaseLives(head.record, parts.repository, options.signal),
    ]);
    // What reconcile says comes first: it may have adopted what makes the rest needless.
    confirmed.catch(() => undefined);
    const listing = await reconcile(head, parts, options.signal);
    if (head.record.base !== base) return undefined;
    await confirmed;
    const made = { imageId, number: listing.nextNumber, commitId, label: options.label };
    const record = recordOf(head, view, written, parts, made);
    try {
      await parts.repository.publishRecord(image, record, options.signal, { number: 'listed', sourceAgeMs });
      return record;
    } catch (error) {
      // Somebody took the number: the next round of reconcile says who.
      if (!hasCode(error, 'EXISTS')) throw error;
    }
  }
}

/** The record of what was uploaded, as snapshot `number` of the image `imageId`. */
export function recordOf(
  head: LocalHead,
  view: DiskView,
  written: WrittenSnapshot,
  { now, stateId }: CommitParts,
  made: Pick<SnapshotRecord, 'imageId' | 'number' | 'commitId'> & { readonly label?: string | undefined },
): SnapshotRecord {
  return {
    formatVersion: 1,
    requires: written.requires,
    imageId: made.imageId,
    number: made.number,
    sizeBytes: view.sizeBytes,
    chunkSizeBytes: view.plane.chunkSizeBytes,
    root: written.root,
    allocatedBytes: written.allocatedBytes,
    parent: parentOf(head.record),
    timeMs: now(),
    label: made.label ?? '',
    commitId: made.commitId,
    writerId: stateId,
  };
}

/** Whether what was uploaded may not be there for long (lib/repository/reliance.ts). */
export function isCondemned(error: unknown): boolean {
  return hasCode(error, 'CONFLICT') && error.facts['condemned'] !== undefined;
}
