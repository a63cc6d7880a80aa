/**
 * Import: a disk, wherever it comes from (lib/disks), becomes the next snapshot of an image, or the first of a new one.
 *
 * Holes are skipped, unchanged chunks of an existing image are not uploaded, nothing is visible until the record is
 * published as the last step. When somebody else publishes the number first, the next one is taken: the content is whole by
 * itself. An image that somebody is writing is refused: the head there stands on an older base and its commit would lose.
 */
import type { ImageSource, Intake } from '../disks/image-source.js';
import type { OpenOptions } from '../disks/open-options.js';
import { openSource, type DiskLocation } from '../disks/open-source.js';
import { randomId } from '../format/checksums.js';
import { MAX_IMAGE_BYTES, type Bytes } from '../format/geometry.js';
import { assertImageName } from '../format/keys.js';
import type { RandomId } from '../format/references.js';
import { MAX_LABEL_LENGTH, type SnapshotRecord } from '../format/snapshot-record.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { startStopwatch } from '../util/stopwatch.js';
import type { ImageListing, KnownPlaces, Repository, TreeReader, WrittenSnapshot } from './api.js';
import { imageExists } from './clone.js';
import { noKnownPlaces } from './known-places.js';
import { lockedError } from './locks.js';

/** How often the next number is tried when others publish at the same time. */
const PUBLISH_ATTEMPTS = 8;

export interface ImportOptions extends Omit<OpenOptions, 'onIntake'> {
  readonly source: DiskLocation;
  readonly image: string;
  readonly label?: string | undefined;
  /** EXISTS when the image lives already. */
  readonly newOnly?: boolean | undefined;
  readonly known?: KnownPlaces | undefined;
  readonly trees?: TreeReader | undefined;
  /** Who does it; a fresh random id by default. */
  readonly writerId?: RandomId | undefined;
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
}

export interface ImportProgress {
  readonly processedBytes: Bytes;
  /** null while it is not known (a stream). */
  readonly totalBytes: Bytes | null;
  readonly uploadedBytes: Bytes;
  /** How far something is that is read in order: packed, from a server, or for its checksum. null: read by position. */
  readonly intake: Intake | null;
}

export interface ImportResult {
  readonly image: string;
  readonly imageId: RandomId;
  readonly number: number;
  readonly sizeBytes: Bytes;
  readonly allocatedBytes: Bytes;
  readonly chunkSizeBytes: Bytes;
  readonly uploadedBytes: Bytes;
  readonly commitId: RandomId;
}

/**
 * USAGE (name, label), EXISTS (newOnly), LOCKED, CONFLICT (the image changed meanwhile), ABORTED, what `openSource` and its chunks
 * throw, and the errors of the store.
 */
export async function importImage(repository: Repository, options: ImportOptions): Promise<ImportResult> {
  const { image, label = '', signal } = options;
  assertImageName(image);
  if (label.length > MAX_LABEL_LENGTH) {
    throw new LazydiskError('USAGE', `A label has at most ${MAX_LABEL_LENGTH} characters, not ${label.length}.`);
  }
  await repository.assertExclusivePuts(signal);
  const listing = await freeListing(repository, options);
  const base = await newestRecord(repository, listing, signal);
  const chunkSizeBytes = base?.chunkSizeBytes ?? repository.defaultChunkSizeBytes;
  const progress = new Progress(options.onProgress);
  const source = await openSource(options.source, { ...options, onIntake: (intake) => progress.take(intake) });
  try {
    const written = await writeChunks(repository, source, base, chunkSizeBytes, options, progress);
    const record: SnapshotRecord = {
      formatVersion: 1,
      requires: written.requires,
      imageId: base?.imageId ?? randomId(),
      number: listing.nextNumber,
      sizeBytes: source.finalSizeBytes(),
      chunkSizeBytes,
      root: written.root,
      allocatedBytes: written.allocatedBytes,
      parent: base === null ? null : { image, imageId: base.imageId, number: base.number, commitId: base.commitId },
      timeMs: Date.now(),
      label,
      commitId: randomId(),
      writerId: options.writerId ?? randomId(),
    };
    const { imageId, number, sizeBytes, commitId } = await publish(repository, record, base, written, options);
    const { allocatedBytes, uploadedBytes } = written;
    return { image, imageId, number, sizeBytes, allocatedBytes, chunkSizeBytes, uploadedBytes, commitId };
  } finally {
    await source.close();
  }
}

async function writeChunks(
  repository: Repository,
  source: ImageSource,
  base: SnapshotRecord | null,
  chunkSizeBytes: Bytes,
  options: ImportOptions,
  progress: Progress,
): Promise<WrittenSnapshot> {
  const { signal } = options;
  const writer = repository.writeSnapshot({
    chunkSizeBytes,
    sizeBytes: source.sizeBytes ?? MAX_IMAGE_BYTES,
    base,
    known: options.known ?? noKnownPlaces,
    trees: options.trees ?? repository.trees(),
    signal,
    onRead: (bytes) => source.giveBack(bytes),
    onProgress: ({ processedBytes, uploadedBytes }) => progress.write(processedBytes, source.sizeBytes, uploadedBytes),
  });
  try {
    let chunk = 0;
    for await (const bytes of source.chunks(chunkSizeBytes)) await writer.put(chunk++, bytes);
    return await writer.finish(source.finalSizeBytes());
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** What is read and what is written are told together. */
class Progress {
  #now: ImportProgress = { processedBytes: 0, totalBytes: null, uploadedBytes: 0, intake: null };

  constructor(private readonly report: ImportOptions['onProgress']) {}

  take(intake: Intake): void {
    this.#now = { ...this.#now, intake };
    this.report?.(this.#now);
  }

  write(processedBytes: Bytes, totalBytes: Bytes | null, uploadedBytes: Bytes): void {
    processedBytes = Math.min(processedBytes, totalBytes ?? processedBytes);
    this.#now = { ...this.#now, processedBytes, totalBytes, uploadedBytes };
    this.report?.(this.#now);
  }
}

/**
 * Publishes under the next number. Reading may have taken hours: the image is looked at once more before, and again when
 * somebody was faster.
 */
async function publish(
  repository: Repository,
  draft: SnapshotRecord,
  base: SnapshotRecord | null,
  written: WrittenSnapshot,
  options: ImportOptions,
): Promise<SnapshotRecord> {
  const { image, signal } = options;
  for (let attempt = 1; ; attempt++) {
    const sourceAgeMs = startStopwatch();
    const listing = await freeListing(repository, options);
    const newest = await newestRecord(repository, listing, signal);
    if (newest !== null && newest.chunkSizeBytes !== draft.chunkSizeBytes) {
      throw new LazydiskError('CONFLICT', `${image} was made meanwhile with another chunk size; import again.`);
    }
    // What did not change is kept because the base lives.
    if (base !== null && !listing.snapshots.some((snapshot) => snapshot.number === base.number)) {
      throw new LazydiskError('CONFLICT', `${image}@${base.number} was deleted meanwhile; import again.`);
    }
    const record = { ...draft, imageId: newest?.imageId ?? draft.imageId, number: listing.nextNumber };
    try {
      await repository.publishRecord(image, record, signal, { confirm: written.confirm, sourceAgeMs });
      return record;
    } catch (error) {
      if (!hasCode(error, 'EXISTS') || attempt === PUBLISH_ATTEMPTS) throw error;
    }
  }
}

/** The image's listing, when it may be imported into. EXISTS, LOCKED. */
async function freeListing(repository: Repository, options: ImportOptions): Promise<ImageListing> {
  const { image, newOnly = false, signal } = options;
  const listing = await repository.listImage(image, signal);
  if (newOnly && (listing.snapshots.length > 0 || listing.writer !== null)) throw imageExists(image);
  if (listing.writer !== null) throw lockedError(image, listing.writer);
  return listing;
}

async function newestRecord(
  repository: Repository,
  listing: ImageListing,
  signal: AbortSignal | undefined,
): Promise<SnapshotRecord | null> {
  const newest = listing.snapshots.at(-1);
  return newest === undefined ? null : repository.readRecord(listing.image, newest.number, signal);
}
