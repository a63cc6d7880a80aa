/**
 * COMMIT under another name: what a head shows becomes the first snapshot of a new image, and the head stays as it is.
 *
 * For changes that can't become the next snapshot of their own image: another host has published there, or has taken the name
 * of a local clone. The layers are frozen and uploaded as in any commit (commit.ts), but nothing is adopted: they stay, dirty,
 * until somebody reverts them or commits them after all.
 */
import { randomId } from '../format/checksums.js';
import { assertImageName } from '../format/keys.js';
import type { Repository } from '../repository/api.js';
import { imageExists } from '../repository/clone.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { startStopwatch } from '../util/stopwatch.js';
import type { CommitOutcome } from './api.js';
import { isCondemned, recordOf } from './commit-record.js';
import { upload } from './commit-upload.js';
import type { CommitOptions, CommitParts } from './commit.js';
import { MAX_LAYERS } from './head-stack.js';
import type { LocalHead } from './head.js';
import { assertBaseLives } from './living-base.js';

/** Failed commits must not keep anybody from saving what they left, so more layers than they may make are allowed here. */
const MAX_LAYERS_TO_SAVE = 2 * MAX_LAYERS;

/** USAGE (name); EXISTS: there is an image of that name; BUSY: too many layers; CONFLICT: the base has been deleted; whatever the store rejects with. */
export async function commitAs(
  head: LocalHead,
  newName: string,
  parts: CommitParts,
  options: CommitOptions,
): Promise<CommitOutcome> {
  assertImageName(newName);
  try {
    return await saveAs(head, newName, parts, options);
  } catch (error) {
    // A collection has condemned what was uploaded: it is uploaded again, once.
    if (!isCondemned(error)) throw error;
    return await saveAs(head, newName, parts, options);
  }
}

async function saveAs(
  head: LocalHead,
  newName: string,
  parts: CommitParts,
  options: CommitOptions,
): Promise<CommitOutcome> {
  const { repository } = parts;
  const { signal } = options;
  const { image } = head.record;
  const startMs = performance.now();
  await freeNumber(repository, newName, signal);
  await repository.assertExclusivePuts(signal);
  const commitId = randomId();
  const { frozen, pauseMs, isNow } = await head.freeze(commitId, MAX_LAYERS_TO_SAVE);
  if (!isNow) {
    throw new LazydiskError(
      'BUSY',
      `${image} has too many layers of failed commits: copy its disk.raw, then revert it.`,
    );
  }
  parts.onStep('frozen');
  options.onCut?.({ pauseMs });
  const view = head.disk.frozenView(frozen);
  const { written, dirtyChunks } = await upload(head, view, frozen, parts, signal);
  parts.onStep('uploaded');
  const { chunkSizeBytes } = view.plane;
  const sourceAgeMs = startStopwatch();
  // The upload may have taken a day, in which the name may have come and gone, and a number with it.
  const [number] = await Promise.all([
    freeNumber(repository, newName, signal),
    assertBaseLives(head.record, repository, signal),
  ]);
  const made = { imageId: randomId(), number, commitId, label: options.label };
  const record = recordOf(head, view, written, parts, made);
  const evidence = { number: 'listed', confirm: written.confirm, sourceAgeMs } as const;
  try {
    await repository.publishRecord(newName, record, signal, evidence);
  } catch (error) {
    throw hasCode(error, 'EXISTS') ? imageExists(newName, error) : error;
  }
  parts.onStep('published');
  return {
    image: newName,
    number: record.number,
    changed: true,
    commitId,
    dirtyBytes: dirtyChunks * chunkSizeBytes,
    uploadedBytes: written.uploadedBytes,
    pauseMs,
    durationMs: performance.now() - startMs,
  };
}

/** The first number of an image that is not there. EXISTS. */
async function freeNumber(repository: Repository, image: string, signal: AbortSignal | undefined): Promise<number> {
  const { snapshots, hasLock, nextNumber } = await repository.summarizeImage(image, signal);
  if (snapshots.length > 0 || hasLock) throw imageExists(image);
  return nextNumber;
}
