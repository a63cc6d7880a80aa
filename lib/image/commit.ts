/**
 * COMMIT: the difference between a head and its base becomes the next snapshot, while the guest goes on writing.
 *
 * Steps, each with a name at which a test can end the process:
 *   freeze      behind the gate a new layer goes on top; the commit id is durable
 *   upload      each chunk that the frozen layers touch is composed and put; chunks whose base is local go first
 *   publish     the record, with If-None-Match: before it nothing is visible, after it the commit has happened
 *   adopt       the base moves, the frozen layers leave the stack; durable, then their files are removed
 * A commit that fails leaves the layers as they are; the next one freezes again and composes all frozen layers. After many
 * failures it first publishes what is frozen already, as a snapshot of its own, and then freezes.
 *
 * Before publishing, every record that is newer than what this head has seen is asked whose it is: our own late PUT is
 * adopted, one that a revert threw away is passed over, a foreign one is a conflict in which nobody loses anything.
 */
import { randomId } from '../format/checksums.js';
import { BLOCK_SIZE, chunkCount } from '../format/geometry.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { ImageSummary, KnownPlaces, Repository, TreeReader, WrittenSnapshot } from '../repository/api.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { startStopwatch } from '../util/stopwatch.js';
import { touchedGroups } from './allocation.js';
import type { CommitOutcome } from './api.js';
import { ChunkBuffers } from './chunk-buffers.js';
import { baseChunks, readOrDisown } from './disk-reader.js';
import type { DiskView } from './disk-reader.js';
import { ownBase, parentOf } from './head-record.js';
import type { LocalHead } from './head.js';
import type { Layer } from './layer.js';
import { assertBaseLives } from './living-base.js';
import { BELOW, STATES_PER_FLAG } from './plane.js';
import { isFromBase, isFromLayer, MISS } from './serve.js';

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

/** How many chunks are composed ahead of the one that is put next. */
const COMPOSE_AHEAD = 8;
/** How many chunks may wait for the local disk. */
const MAX_KEEPING = 64;

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
    await head.adopt(record);
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

/** Whether what was uploaded may not be there for long (lib/repository/reliance.ts). */
export function isCondemned(error: unknown): boolean {
  return hasCode(error, 'CONFLICT') && error.facts['condemned'] !== undefined;
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
      await head.adopt(record);
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

/** Puts all that a snapshot of the frozen layers needs but for its record. */
export async function upload(
  head: LocalHead,
  view: DiskView,
  frozen: readonly Layer[],
  parts: CommitParts,
  signal: AbortSignal | undefined,
): Promise<{ written: WrittenSnapshot; dirtyChunks: number }> {
  const { plane, sizeBytes } = view;
  const chunks = await dirtyChunksOf(view, frozen, signal);
  const keeping = new Set<Promise<void>>();
  const buffers = new ChunkBuffers(plane.chunkSizeBytes);
  const writer = parts.repository.writeSnapshot({
    chunkSizeBytes: plane.chunkSizeBytes,
    sizeBytes,
    base: head.record.base,
    known: parts.known,
    trees: parts.trees,
    signal,
    onHashed: (id, bytes) => {
      const kept = parts.keep(id, bytes).finally(() => keeping.delete(kept));
      keeping.add(kept);
      buffers.alsoReadBy(bytes, kept);
    },
    onRead: (bytes) => buffers.giveBack(bytes as Buffer),
  });
  try {
    let dirtyChunks = 0;
    let doneChunks = 0;
    const ahead: Promise<Buffer | null>[] = [];
    let next = 0;
    for (const chunk of chunks) {
      while (ahead.length < COMPOSE_AHEAD && next < chunks.length) {
        const composing = composed(view, chunks[next++]!, buffers, signal);
        // Its error is met when its turn comes, or not at all after an earlier one's.
        composing.catch(() => undefined);
        ahead.push(composing);
      }
      const bytes = await ahead.shift()!;
      if (bytes !== null) dirtyChunks++;
      await writer.put(chunk, bytes);
      head.upload = { doneChunks: ++doneChunks, totalChunks: chunks.length };
      while (keeping.size > MAX_KEEPING) await Promise.race(keeping);
    }
    const written = await writer.finish();
    await Promise.all(keeping);
    return { written, dirtyChunks };
  } catch (error) {
    await writer.abandon();
    throw error;
  } finally {
    head.upload = null;
  }
}

/** The chunks that may differ from the base: local ones first, each group in image order. */
async function dirtyChunksOf(
  view: DiskView,
  frozen: readonly Layer[],
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const { base, plane, sizeBytes } = view;
  const count = chunkCount(sizeBytes, plane.chunkSizeBytes);
  const dirty = new Set<number>();
  const blocksPerChunk = plane.chunkSizeBytes / BLOCK_SIZE;
  for (const first of touchedGroups(frozen)) {
    for (let block = first; block < first + STATES_PER_FLAG; block++) {
      if (!frozen.some((layer) => (layer.blocks.states[block] ?? BELOW) !== BELOW)) continue;
      const chunk = Math.floor(block / blocksPerChunk);
      if (chunk < count) dirty.add(chunk);
    }
  }
  // What a cut hides is zero now, although no block says so.
  const cut = Math.min(...frozen.map((layer) => layer.cutBlock));
  for await (const chunk of base.data(Math.floor(cut / blocksPerChunk), signal)) {
    if (chunk >= count) break;
    dirty.add(chunk);
  }
  const ascending = [...dirty].sort((a, b) => a - b);
  return [...ascending.filter((chunk) => base.isHere(chunk)), ...ascending.filter((chunk) => !base.isHere(chunk))];
}

/** A chunk as the frozen layers show it, zero-padded at the end of the image; null when it is all zero. */
async function composed(
  view: DiskView,
  chunk: number,
  buffers: ChunkBuffers,
  signal: AbortSignal | undefined,
): Promise<Buffer | null> {
  const { base, plane, sizeBytes } = view;
  const start = chunk * plane.chunkSizeBytes;
  const end = Math.min(start + plane.chunkSizeBytes, sizeBytes);
  let isZero = true;
  for (let block = start / BLOCK_SIZE; block * BLOCK_SIZE < end && isZero; block++) {
    isZero = !isFromLayer(plane.layers, block) && !isFromBase(plane.layers, block);
  }
  if (isZero) return null;
  const lease = await base.ensure(baseChunks(plane, start, end), signal);
  const bytes = buffers.take().fill(0, end - start);
  try {
    if (readOrDisown(plane, base, start, end - start, bytes, (wanted) => lease.transient(wanted)) === MISS) {
      throw new LazydiskError('IO', `Chunk ${chunk} left the mirror while a commit held it.`);
    }
  } finally {
    lease.release();
  }
  return bytes;
}

/**
 * Publishes the record; undefined when the base moved meanwhile. Two round trips: all that has to be seen is asked at once, right
 * before the put. The listing tells of deleted numbers too, so that the number's tombstone is not asked for.
 */
async function publish(
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
    const confirmed = written.confirm(options.signal);
    // What reconcile says comes first: it may have adopted what makes the rest needless.
    confirmed.catch(() => undefined);
    const listing = await reconcile(head, parts, options.signal);
    if (head.record.base !== base) return undefined;
    await confirmed;
    await assertBaseLives(head.record, listing, parts.repository, options.signal);
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
