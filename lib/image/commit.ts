/**
 * COMMIT: the difference between a head and its base becomes the next snapshot, while the guest goes on writing.
 *
 * Steps, each with a name at which a test can end the process:
 *   freeze      behind the gate a new layer goes on top; the commit id is durable
 *   upload      each chunk that the frozen layers touch is composed and put (commit-upload.ts)
 *   publish     the record, with If-None-Match: before it nothing is visible, after it the commit has happened (commit-record.ts)
 *   adopt       the base moves, the frozen layers leave the stack; durable, then their files are removed
 * A commit that fails leaves the layers as they are; the next one freezes again and composes all frozen layers. After many
 * failures it first publishes what is frozen already, as a snapshot of its own, and then freezes.
 */
import { randomId } from '../format/checksums.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { KnownPlaces, Repository, TreeReader } from '../repository/api.js';
import type { CommitOutcome } from './api.js';
import { isCondemned, publish, reconcile } from './commit-record.js';
import { upload } from './commit-upload.js';
import { ownBase } from './head-record.js';
import type { LocalHead } from './head.js';

/** Named steps of a commit, in order. */
export type CommitStep = 'frozen' | 'uploaded' | 'published' | 'adopted';

export interface CommitParts {
  readonly repository: Repository;
  readonly trees: TreeReader;
  readonly known: KnownPlaces;
  /** Keeps a chunk that was made here in the mirror, if it can. Never rejects; the bytes are not used any more then. */
  readonly keep: (id: string, bytes: Uint8Array) => Promise<void>;
  readonly stateId: string;
  readonly now: () => number;
  /** Called after each step has taken effect. */
  readonly onStep: (step: CommitStep) => void;
}

export interface CommitOptions {
  readonly label?: string | undefined;
  /** Called when the cut is taken: what is written from then on is not in this snapshot. */
  readonly onCut?: ((cut: { readonly pauseMs: number }) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Commits a head that holds its lock. CONFLICT: a foreign snapshot is in the way; whatever the store rejects with. */
export async function commitHead(head: LocalHead, parts: CommitParts, options: CommitOptions): Promise<CommitOutcome> {
  const { image } = head.record;
  const startMs = performance.now();
  let uploadedAgain = false;
  await head.takeName(options.signal);
  for (;;) {
    await reconcile(head, parts, options.signal);
    const base = ownBase(head.record);
    if (!head.isDirty() && base !== null) return unchanged(image, base, startMs);
    await parts.repository.assertExclusivePuts(options.signal);
    const commitId = randomId();
    const { frozen, pauseMs, isNow } = await head.freeze(commitId);
    parts.onStep('frozen');
    if (isNow) options.onCut?.({ pauseMs });
    const view = head.disk.frozenView(frozen);
    // Else the host could die with the record published, come back without what no fsync had covered, and get it back when
    // the record is found. Beside the upload, since what is frozen changes no more. A disk that can't sync is no reason not to
    // publish: the snapshot is what saves its data.
    const synced = head.fsync().catch(() => undefined);
    const { written, dirtyChunks } = await upload(head, view, frozen, parts, options.signal);
    await synced;
    parts.onStep('uploaded');
    const record = await publish(head, view, written, commitId, parts, options).catch((error: unknown) => {
      if (uploadedAgain || !isCondemned(error)) throw error;
      uploadedAgain = true;
      return undefined;
    });
    // A late PUT of an earlier attempt was adopted meanwhile: this attempt stands on a base that is gone. Or a collection has
    // condemned what was uploaded: it is uploaded again, once.
    if (record === undefined) continue;
    parts.onStep('published');
    await head.adopt(record, options.signal);
    parts.onStep('adopted');
    // What was frozen long ago is published; now what came since.
    if (!isNow) continue;
    return {
      image,
      number: record.number,
      changed: true,
      commitId,
      dirtyBytes: dirtyChunks * view.plane.chunkSizeBytes,
      uploadedBytes: written.uploadedBytes,
      pauseMs,
      durationMs: performance.now() - startMs,
    };
  }
}

function unchanged(image: string, base: SnapshotRecord, startMs: number): CommitOutcome {
  return {
    image,
    number: base.number,
    changed: false,
    commitId: base.commitId,
    dirtyBytes: 0,
    uploadedBytes: 0,
    pauseMs: 0,
    durationMs: performance.now() - startMs,
  };
}
