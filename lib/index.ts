/**
 * lazydisk as a library: repositories of virtual-machine images, without FUSE and without a terminal.
 *
 * A program opens a store, then a repository on it; imports, lists, clones, exports and verifies images; and reads or writes
 * one through a catalogue, which keeps fetched chunks in a mirror and local writes in a state directory. Everything that is
 * exported here keeps its meaning within a major version; what is not, is not promised. Errors are LazydiskError, and
 * `code` says what kind.
 *
 *     const store = retrying(limiting(await openStore(parseLocation('s3://images/prod'))), { timeoutMs: 30_000 });
 *     const repository = await openRepository(store);
 *     for (const { image, snapshots } of await describeImages(repository)) console.log(image, snapshots.length);
 *     await store.close();
 *
 * examples/ has whole programs. The rooms are described in docs/ARCHITECTURE.md.
 */

// Errors and log.
export { LazydiskError, hasCode, type ErrorCode } from './util/errors.js';
export { silentLog, type Log } from './util/log.js';

// Sizes, names, ids.
export { BLOCK_SIZE, DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, MAX_IMAGE_BYTES, MIN_CHUNK_SIZE } from './format/geometry.js';
export { randomId } from './format/checksums.js';
export type { RepositoryMarker } from './format/marker.js';
export type { RandomId } from './format/references.js';
export type { ParentReference, SnapshotRecord } from './format/snapshot-record.js';
export type { Tag } from './format/tag.js';
export type { WriterLock } from './format/writer-lock.js';

// Stores: bytes by key. A program may bring its own ObjectStore.
export { formatLocation, parseLocation, type StoreLocation } from './store/location.js';
export { openStore, type OpenStoreOptions } from './store/open-store.js';
export { MemoryStore } from './store/memory-store.js';
export { limiting, type LimitingOptions } from './store/limiting.js';
export { retrying, type RetryingOptions } from './store/retrying.js';
export type {
  ByteRange,
  CallOptions,
  GetOptions,
  Listing,
  ObjectStore,
  OnBytes,
  StoredObject,
} from './store/object-store.js';

// Repositories.
export { initRepository, openRepository, upgradeRepository, type InitOptions } from './repository/repository.js';
export { importImage, type ImportOptions, type ImportResult } from './repository/import.js';
export { exportImage, type ExportOptions, type ExportResult } from './repository/export.js';
export {
  describeImages,
  type ImageDescription,
  type SnapshotDescription,
  type TagDescription,
} from './repository/describe.js';
export { dropTag, moveTag, taggedNumber, tagNames } from './repository/tags.js';
export { diffSnapshots, type DiffExtent, type DiffOptions, type SnapshotDiff } from './repository/diff.js';
export { forget, planForget, type ForgetPlan } from './repository/forget.js';
export type { RetentionPolicy } from './repository/retention.js';
export { cloneSnapshot, type CloneOptions } from './repository/clone.js';
export { verifyRepository, type Damage, type VerifyOptions, type VerifyReport } from './repository/verify.js';
export {
  collectRepository,
  DEFAULT_GRACE_MS,
  type CollectionOptions,
  type CollectionReport,
} from './repository/collection.js';
export { chunkSource } from './repository/chunk-source.js';
export type { ImageListing, Repository, TreeReader } from './repository/api.js';

// Images on this host: a database and a mirror below, a catalogue on top.
export { LocalDatabase } from './mirror/local-database.js';
export { LocalNodes } from './mirror/local-nodes.js';
export { LocalPlaces } from './mirror/known-places.js';
export { openMirror, type MirrorOptions } from './mirror/mirror.js';
export { noWorkers } from './mirror/worker-fence.js';
export type { Mirror, MirrorStatistics } from './mirror/api.js';
export { noFeed } from './image/plane.js';
export { openCatalogue } from './image/catalogue.js';
export type { CatalogueOptions } from './image/catalogue-parts.js';
export type { Catalogue, CommitOutcome, Disk, Head, Image, ImageStatus, SnapshotInfo } from './image/api.js';
