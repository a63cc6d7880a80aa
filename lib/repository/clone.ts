/**
 * A clone: the first record of a new image, with the root of an existing snapshot. Two round trips, whatever the size: one in
 * which everything that must be known is asked at once, and one PUT. (A repository's first write has the probe for
 * If-None-Match in the first of them, which is a round trip longer where the marker has to be read again.)
 */
import { randomId } from '../format/checksums.js';
import { MAX_IMAGE_BYTES, type Bytes } from '../format/geometry.js';
import { assertImageName } from '../format/keys.js';
import type { RandomId } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { startStopwatch } from '../util/stopwatch.js';
import type { Repository, WrittenSnapshot } from './api.js';
import { noKnownPlaces } from './known-places.js';

export interface CloneOptions {
  readonly from: string;
  /** Or the promise of it: then it is found while the rest is asked. */
  readonly number: number | Promise<number>;
  /** What the promise is expected to say: that record is read while it is found out. */
  readonly expected?: number | undefined;
  /** Name of the new image. */
  readonly to: string;
  /** Larger than the source: zeros follow it. As large as the source by default. */
  readonly sizeBytes?: Bytes | undefined;
  /** Who does it: a state directory, or a fresh random id. */
  readonly writerId: RandomId;
  readonly label?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Publishes the new image's first snapshot: number 1, or the next free one when an image of that name was deleted.
 * USAGE (name, a size below the source's), TOO_LARGE, NOT_FOUND (source), EXISTS: the new image has snapshots or a lock.
 */
export async function cloneSnapshot(repository: Repository, options: CloneOptions): Promise<SnapshotRecord> {
  const { from, to, writerId, signal } = options;
  // A bad name is told before anybody waits for the number.
  const number = Promise.resolve(options.number);
  number.catch(() => undefined);
  assertImageName(from);
  assertImageName(to);
  // What a clone refers to is kept because its source lives: one that was deleted since this host read it is no source.
  const sourceAgeMs = startStopwatch();
  const read = (wanted: number): Promise<SnapshotRecord> => repository.readLivingRecord(from, wanted, signal);
  const expected = options.expected === undefined ? undefined : read(options.expected);
  expected?.catch(() => undefined); // matters only when it was the right one
  const readSource = async (): Promise<SnapshotRecord> => {
    const chosen = await number;
    return expected !== undefined && chosen === options.expected ? expected : read(chosen);
  };
  const [source, target] = await Promise.all([
    readSource(),
    repository.listImage(to, signal),
    repository.assertExclusivePuts(signal),
  ]);
  if (target.snapshots.length > 0 || target.writer !== null) throw imageExists(to);
  const sizeBytes = clonedSize(source, options.sizeBytes);
  const grown = sizeBytes === source.sizeBytes ? undefined : await growTree(repository, source, sizeBytes, signal);
  const record: SnapshotRecord = {
    formatVersion: 1,
    requires: source.requires,
    imageId: randomId(),
    number: target.nextNumber,
    sizeBytes,
    chunkSizeBytes: source.chunkSizeBytes,
    root: (grown ?? source).root,
    allocatedBytes: source.allocatedBytes,
    parent: { image: from, imageId: source.imageId, number: source.number, commitId: source.commitId },
    timeMs: Date.now(),
    label: options.label ?? '',
    commitId: randomId(),
    writerId,
  };
  try {
    await repository.publishRecord(to, record, signal, { number: 'listed', sourceAgeMs, confirm: grown?.confirm });
  } catch (error) {
    throw hasCode(error, 'EXISTS') ? imageExists(to, error) : error;
  }
  return record;
}

/** The size of a clone: `wanted`, or the source's. USAGE: it would lose its end; TOO_LARGE. */
export function clonedSize(source: SnapshotRecord, wanted: Bytes | undefined): Bytes {
  if (wanted === undefined) return source.sizeBytes;
  if (wanted > MAX_IMAGE_BYTES) {
    throw new LazydiskError('TOO_LARGE', `An image has at most ${MAX_IMAGE_BYTES} bytes, not ${wanted}.`);
  }
  if (wanted >= source.sizeBytes) return wanted;
  throw new LazydiskError(
    'USAGE',
    `A clone can't be smaller than its source, which has ${source.sizeBytes} bytes, not ${wanted}; shrink the file system in it first, then truncate its disk.raw.`,
  );
}

/** A tree of more chunks may be higher: then it gets nodes above its root, else it is the same. */
async function growTree(
  repository: Repository,
  source: SnapshotRecord,
  sizeBytes: Bytes,
  signal: AbortSignal | undefined,
): Promise<WrittenSnapshot> {
  const { chunkSizeBytes } = source;
  const trees = repository.trees();
  const writer = repository.writeSnapshot({
    chunkSizeBytes,
    sizeBytes,
    base: source,
    known: noKnownPlaces,
    trees,
    signal,
  });
  return writer.finish();
}

/** EXISTS, in a sentence about the image. */
export function imageExists(image: string, cause?: unknown): LazydiskError {
  return new LazydiskError('EXISTS', `The image ${image} exists already; choose another name.`, {
    cause,
    facts: { image },
  });
}
