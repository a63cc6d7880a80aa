/**
 * A repository: named things in a store, as lib/repository/api.ts promises them.
 *
 * It keeps no state but caches of immutable records and nodes; what may change (listings, locks) is asked for each time.
 * The authoritative record of a snapshot is `images/<image>/snapshots/<number>.json`; everything else it needs is in the
 * store before.
 */
import { MARKER_KEY, imagePrefix, IMAGES_PREFIX, snapshotKey, tombstoneKey } from '../format/keys.js';
import type { Bytes } from '../format/geometry.js';
import { damaged, ZSTD_FEATURE } from '../format/json.js';
import { decodeMarker, type RepositoryMarker } from '../format/marker.js';
import type { RandomId } from '../format/references.js';
import { decodeSnapshotRecord, encodeSnapshotRecord, type SnapshotRecord } from '../format/snapshot-record.js';
import type { WriterLock } from '../format/writer-lock.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { startStopwatch as systemStopwatch, type Stopwatch } from '../util/stopwatch.js';
import type {
  ImageListing,
  ImageSummary,
  NodeCache,
  PublishEvidence,
  Repository,
  SnapshotWriter,
  SnapshotWriterOptions,
  TreeReader,
} from './api.js';
import { BoundedMap } from './bounded-map.js';
import { deletedRecord, deleteSnapshot, isEmptied } from './deletion.js';
import { isLiving, listedImages, NO_IMAGE } from './listings.js';
import { readLock, releaseLock, takeLock, updateLock } from './locks.js';
import { orNull, readDocument } from './read-document.js';
import { Reliance, within } from './reliance.js';
import { SingleFlight } from './single-flight.js';
import { StoredSnapshotWriter } from './snapshot-writer.js';
import { StoredTrees } from './trees.js';

/** Records that are kept decoded, a kilobyte each. */
const CACHED_RECORDS = 4096;

export class StoredRepository implements Repository {
  readonly id: RandomId;
  readonly defaultChunkSizeBytes: Bytes;
  readonly #records = new BoundedMap<string, SnapshotRecord>(CACHED_RECORDS);
  /** What the marker allows writers; asked again before the first write, since an upgrade may have come since. */
  #allows: readonly string[];
  #putsAreExclusive = false;
  readonly #probing = new SingleFlight<void>();

  constructor(
    readonly store: ObjectStore,
    /** What `lazydisk.json` says; may be kept to open the repository while the store is away. */
    readonly marker: RepositoryMarker,
    /** Its bytes when they have just been read: the first probe for If-None-Match need not read them again. */
    private freshMarker?: Buffer,
    /** Measures what must not take too long between reading and publishing. */
    private readonly startStopwatch: () => Stopwatch = systemStopwatch,
  ) {
    this.id = marker.repositoryId;
    this.defaultChunkSizeBytes = marker.defaultChunkSizeBytes;
    this.#allows = marker.allows;
  }

  async imageNames(signal?: AbortSignal): Promise<string[]> {
    return (await this.imageSummaries(signal)).map(({ image }) => image);
  }

  async imageSummaries(signal?: AbortSignal): Promise<ImageSummary[]> {
    const { objects } = await this.store.list(IMAGES_PREFIX, { signal });
    const images = [...listedImages(objects)].filter(([, listed]) => isLiving(listed));
    return images.map(([image, listed]) => ({ image, ...listed }));
  }

  async completeListing({ hasLock, ...listed }: ImageSummary, signal?: AbortSignal): Promise<ImageListing> {
    return { ...listed, writer: hasLock ? await this.readLock(listed.image, signal) : null };
  }

  async listImage(image: string, signal?: AbortSignal): Promise<ImageListing> {
    return this.completeListing(await this.summarizeImage(image, signal), signal);
  }

  async summarizeImage(image: string, signal?: AbortSignal): Promise<ImageSummary> {
    const { objects } = await this.store.list(imagePrefix(image), { signal });
    return { image, ...(listedImages(objects).get(image) ?? NO_IMAGE) };
  }

  async readRecord(image: string, number: number, signal?: AbortSignal): Promise<SnapshotRecord> {
    return this.#records.get(snapshotKey(image, number)) ?? this.readLivingRecord(image, number, signal);
  }

  async readLivingRecord(image: string, number: number, signal?: AbortSignal): Promise<SnapshotRecord> {
    const key = snapshotKey(image, number);
    const record = await readDocument(
      () => this.#getRecord(image, number, signal),
      (bytes) => decodeSnapshotRecord(bytes, key),
    );
    if (record.number !== number) throw damaged(key, `it is the record of number ${record.number}`);
    this.#records.set(key, record);
    return record;
  }

  /** The same repository, just opened, on another view of its store. */
  through(store: ObjectStore): StoredRepository {
    return new StoredRepository(store, this.marker, this.freshMarker, this.startStopwatch);
  }

  async assertExclusivePuts(signal?: AbortSignal): Promise<void> {
    if (!this.#putsAreExclusive) await this.#probing.run('', (shared) => this.#probe(shared), signal);
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const fresh = this.freshMarker;
    // A later probe would put back what an upgrade has changed, where If-None-Match is ignored.
    this.freshMarker = undefined;
    const bytes = fresh ?? (await this.#get(MARKER_KEY, 'lazydisk.json', signal));
    const marker = decodeMarker(bytes);
    if (marker.repositoryId !== this.id) {
      throw new LazydiskError(
        'CONFLICT',
        `${this.store.location} holds another repository than before; mount it anew.`,
      );
    }
    try {
      await this.store.put(MARKER_KEY, bytes, { ifAbsent: true, signal });
    } catch (error) {
      if (!hasCode(error, 'EXISTS')) throw error;
      this.#putsAreExclusive = true;
      this.#allows = marker.allows;
      return;
    }
    throw new LazydiskError(
      'UNSUPPORTED',
      `${this.store.location} ignores If-None-Match: two writers could overwrite each other's snapshots. It can be read, not written.`,
    );
  }

  async publishRecord(
    image: string,
    record: SnapshotRecord,
    signal?: AbortSignal,
    { number, confirm, sourceAgeMs }: PublishEvidence = {},
  ): Promise<void> {
    const key = snapshotKey(image, record.number);
    const bytes = encodeSnapshotRecord(record, key);
    const evidenceAgeMs = sourceAgeMs ?? this.startStopwatch();
    const [tombstone] = await Promise.all([
      number === 'listed' ? null : orNull(this.store.get(tombstoneKey(image, record.number), { signal })),
      this.assertExclusivePuts(signal),
      confirm?.(signal),
    ]);
    if (tombstone !== null) throw taken(image, record.number);
    try {
      await this.store.put(key, bytes, { ifAbsent: true, signal, pace: within(evidenceAgeMs) });
    } catch (error) {
      if (!hasCode(error, 'EXISTS')) throw error;
      if (!(await this.#isOurs(image, record, signal))) throw taken(image, record.number, error);
    }
    this.#records.set(key, record);
  }

  async deleteSnapshot(image: string, number: number, signal?: AbortSignal): Promise<void> {
    await deleteSnapshot(this.store, image, number, this.startStopwatch(), signal);
    this.#records.delete(snapshotKey(image, number));
  }

  async undeleteSnapshot(image: string, number: number, signal?: AbortSignal): Promise<SnapshotRecord> {
    // While its tombstone holds the record, collections keep what that refers to.
    const sourceAgeMs = this.startStopwatch();
    const record = await deletedRecord(this.store, image, number, signal);
    const { snapshots, writer } = await this.listImage(image, signal);
    const newest = snapshots.at(-1);
    const living = newest === undefined ? writer : await this.readRecord(image, newest.number, signal);
    if (living !== null && living.imageId !== record.imageId) {
      throw new LazydiskError(
        'CONFLICT',
        `${image} is another image by now; the deleted snapshot ${number} can't come back under that name.`,
        { facts: { image, number } },
      );
    }
    await this.#publishAgain(image, record, sourceAgeMs, signal);
    return record;
  }

  readLock(image: string, signal?: AbortSignal): Promise<WriterLock | null> {
    return readLock(this.store, image, signal);
  }

  async takeLock(image: string, lock: WriterLock, signal?: AbortSignal): Promise<WriterLock> {
    await this.assertExclusivePuts(signal);
    return takeLock(this.store, image, lock, signal);
  }

  updateLock(image: string, lock: WriterLock, signal?: AbortSignal): Promise<void> {
    return updateLock(this.store, image, lock, signal);
  }

  releaseLock(image: string, stateId: RandomId | undefined, signal?: AbortSignal): Promise<WriterLock | null> {
    return releaseLock(this.store, image, stateId, signal);
  }

  trees(cache?: NodeCache): TreeReader {
    return new StoredTrees(this.store, cache);
  }

  writeSnapshot(options: SnapshotWriterOptions): SnapshotWriter {
    const codec = this.#allows.includes(ZSTD_FEATURE) ? 'zstd' : 'none';
    return new StoredSnapshotWriter(this.store, options, codec, new Reliance(this.store, this.startStopwatch));
  }

  /**
   * Puts the record of a deleted snapshot. What stands in its place may be overwritten: nobody ever puts another record there
   * (deletion.ts). Where there is nothing, that is for If-None-Match to see.
   */
  async #publishAgain(
    image: string,
    record: SnapshotRecord,
    sourceAgeMs: Stopwatch,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const key = snapshotKey(image, record.number);
    const [there] = await Promise.all([orNull(this.store.get(key, { signal })), this.assertExclusivePuts(signal)]);
    if (there === null || !isEmptied(there)) {
      await this.publishRecord(image, record, signal, { number: 'listed', sourceAgeMs });
      return;
    }
    await this.store.put(key, encodeSnapshotRecord(record, key), { signal, pace: within(sourceAgeMs) });
    this.#records.set(key, record);
  }

  /** NOT_FOUND: there is none, or it was deleted. */
  async #getRecord(image: string, number: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const bytes = await this.#get(snapshotKey(image, number), `${image}@${number}`, signal);
    if (!isEmptied(bytes)) return bytes;
    if ((await orNull(this.store.get(tombstoneKey(image, number), { signal }))) === null) return bytes;
    throw new LazydiskError('NOT_FOUND', `${image}@${number} was deleted; \`lazydisk undelete\` may bring it back.`, {
      facts: { image, number },
    });
  }

  /** Whether the record under that number is our own put that succeeded unseen. */
  async #isOurs(image: string, record: SnapshotRecord, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      const there = await this.readRecord(image, record.number, signal);
      return there.commitId === record.commitId && there.writerId === record.writerId;
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND', 'DAMAGED', 'UNSUPPORTED')) return false;
      throw error;
    }
  }

  async #get(key: string, what: string, signal: AbortSignal | undefined): Promise<Buffer> {
    try {
      return await this.store.get(key, { signal });
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND') || error.facts['bucket'] !== undefined) throw error;
      throw new LazydiskError('NOT_FOUND', `${what} does not exist in ${this.store.location}.`, {
        cause: error,
        facts: { key },
      });
    }
  }
}

function taken(image: string, number: number, cause?: unknown): LazydiskError {
  return new LazydiskError('EXISTS', `${image}@${number} has been published by somebody else.`, {
    cause,
    facts: { image, number },
  });
}
