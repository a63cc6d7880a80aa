/**
 * Contracts of the repository room: what the rooms above call, and what they lend to it.
 */
import type { Bytes, ChunkNumber } from '../format/geometry.js';
import type { ChunkId, ChunkReference, NodeId, NodeReference, RandomId, TreeNode } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { WriterLock } from '../format/writer-lock.js';
import type { ObjectStore } from '../store/object-store.js';
import type { Stopwatch } from '../util/stopwatch.js';

/** One snapshot as a listing of its image sees it; the record is read on demand. */
export interface SnapshotListing {
  readonly number: number;
  readonly publishedMs: number;
}

/** What the store holds under one image's name, by one LIST (and one GET when there is a lock). */
export interface ImageListing {
  readonly image: string;
  /** Living snapshots, ascending. */
  readonly snapshots: readonly SnapshotListing[];
  /** Numbers that a tombstone keeps used, ascending. */
  readonly deleted: readonly number[];
  readonly writer: WriterLock | null;
  /** Names of its tags, ascending. */
  readonly tags: readonly string[];
  /** Highest number that was ever used + 1, at least 1. */
  readonly nextNumber: number;
}

/** The same as far as keys alone tell it. */
export type ImageSummary = Omit<ImageListing, 'writer'> & { readonly hasLock: boolean };

/** Lends the repository a local copy of tree nodes (the mirror keeps them in LevelDB; tests in a map). */
export interface NodeCache {
  get(id: NodeId): Promise<Buffer | undefined>;
  put(id: NodeId, encoded: Uint8Array): Promise<void>;
}

/** Which chunks this host knows the place of: from trees it has loaded and from its own uploads. */
export interface KnownPlaces {
  lookup(ids: readonly ChunkId[]): Promise<(ChunkReference | undefined)[]>;
  record(references: readonly ChunkReference[]): Promise<void>;
}

/** A repository: named things in a store. Every record and node that it returns has been validated. */
export interface Repository {
  readonly id: RandomId;
  readonly store: ObjectStore;
  readonly defaultChunkSizeBytes: Bytes;

  /** Names of all images that have a living snapshot or a lock, ascending. One LIST per page of images, none per image. */
  imageNames(signal?: AbortSignal): Promise<string[]>;
  /** What the same LIST tells of each of them, in the same order. */
  imageSummaries(signal?: AbortSignal): Promise<ImageSummary[]>;
  /** The listing of an image that has just been summed up: no LIST, and one GET when there is a lock. */
  completeListing(summary: ImageSummary, signal?: AbortSignal): Promise<ImageListing>;
  /** One LIST; the lock is not read. NOT_FOUND is not thrown: an unknown image has no snapshots and number 1 next. */
  summarizeImage(image: string, signal?: AbortSignal): Promise<ImageSummary>;
  /** The same with the lock: one GET more when there is one. */
  listImage(image: string, signal?: AbortSignal): Promise<ImageListing>;
  /** NOT_FOUND, DAMAGED, UNSUPPORTED (a feature in `requires` that this version does not know). */
  readRecord(image: string, number: number, signal?: AbortSignal): Promise<SnapshotRecord>;
  /** The same, asked of the store in any case: NOT_FOUND when it was deleted since it was read first. */
  readLivingRecord(image: string, number: number, signal?: AbortSignal): Promise<SnapshotRecord>;

  /** Puts the unchanged marker with If-None-Match once per process: the store must refuse it, or UNSUPPORTED. */
  assertExclusivePuts(signal?: AbortSignal): Promise<void>;
  /**
   * Publishes `record` under exactly `record.number`, with If-None-Match: the moment at which a snapshot exists.
   * EXISTS: that number is taken (by whom, the caller reads). Its own earlier put that succeeded unseen counts as success
   * (same commit id and writer id). CONFLICT: what the tree refers to may not be there for long (`evidence.confirm`), or
   * the put could not be made soon enough after that was seen; nothing was published, and all must be tried again.
   */
  publishRecord(image: string, record: SnapshotRecord, signal?: AbortSignal, evidence?: PublishEvidence): Promise<void>;
  /**
   * Writes the tombstone, then empties the record. LOCKED when a lock names it as its base, CONFLICT when a tag leads to it or
   * the second comes minutes after the first. Idempotent.
   */
  deleteSnapshot(image: string, number: number, signal?: AbortSignal): Promise<void>;
  /**
   * Brings a deleted snapshot back under its number; idempotent. NOT_FOUND: it was not deleted, or its grace is over.
   * CONFLICT: the name belongs to another image by now. DAMAGED, UNSUPPORTED.
   */
  undeleteSnapshot(image: string, number: number, signal?: AbortSignal): Promise<SnapshotRecord>;

  readLock(image: string, signal?: AbortSignal): Promise<WriterLock | null>;
  /** Takes the lock. An existing lock with the same stateId is ours: it is kept and returned. Another: LOCKED (facts: lock). */
  takeLock(image: string, lock: WriterLock, signal?: AbortSignal): Promise<WriterLock>;
  /** The holder says on which base it now stands. */
  updateLock(image: string, lock: WriterLock, signal?: AbortSignal): Promise<void>;
  /** Removes the lock if it is held by `stateId`, or by anybody when undefined. Resolves to what was removed. */
  releaseLock(image: string, stateId: RandomId | undefined, signal?: AbortSignal): Promise<WriterLock | null>;

  /** Reads trees. Nodes go through `cache` and are verified by their id whatever the source. */
  trees(cache?: NodeCache): TreeReader;
  /** Begins a new tree on top of `base`; nothing is visible until publishRecord. */
  writeSnapshot(options: SnapshotWriterOptions): SnapshotWriter;
}

/** What speaks for publishing a record. */
export interface PublishEvidence {
  /** The caller has just seen in a listing that no tombstone keeps the number. */
  readonly number?: 'listed' | undefined;
  /** Asked right before the put: that of a tree that was just written. */
  readonly confirm?: WrittenSnapshot['confirm'] | undefined;
  /** Time since the snapshot that the tree was taken from was seen living. */
  readonly sourceAgeMs?: Stopwatch | undefined;
}

export interface TreeReader {
  /**
   * One node. DAMAGED after one more try, UNREACHABLE. Nodes that were loaded are kept in a bounded memory cache. `siblings`:
   * other entries of its parent that will be wanted too; those that lie near travel along.
   */
  node(reference: NodeReference, signal?: AbortSignal, siblings?: readonly (NodeReference | null)[]): Promise<TreeNode>;
  /**
   * The 256 (or at the end fewer meaningful) entries of the leaf that covers `chunk`: null for zeros; one shared array of
   * nulls when the whole leaf is zero. `root` null: all zeros.
   */
  leaf(tree: TreeShape, chunk: ChunkNumber, signal?: AbortSignal): Promise<readonly (ChunkReference | null)[]>;
  /** The entry of one chunk. */
  entry(tree: TreeShape, chunk: ChunkNumber, signal?: AbortSignal): Promise<ChunkReference | null>;
  /** A node that was just made here: whoever reads it next need not fetch it. */
  remember(id: NodeId, encoded: Uint8Array, node: TreeNode): void;
  /** All non-zero chunks from `first` on, in order; whole zero subtrees are skipped without being loaded. */
  chunks(tree: TreeShape, first?: ChunkNumber, signal?: AbortSignal): AsyncIterable<[ChunkNumber, ChunkReference]>;
}

/** What is needed to walk a tree. A SnapshotRecord is one. */
export interface TreeShape {
  readonly root: NodeReference | null;
  readonly sizeBytes: Bytes;
  readonly chunkSizeBytes: Bytes;
}

export interface SnapshotWriterOptions {
  readonly chunkSizeBytes: Bytes;
  /** Size of the new snapshot. */
  readonly sizeBytes: Bytes;
  /** The tree whose chunks stay where nothing is put; null for an empty one. Same chunk size. It may be larger or smaller. */
  readonly base: (TreeShape & Pick<SnapshotRecord, 'allocatedBytes' | 'requires'>) | null;
  readonly known: KnownPlaces;
  readonly trees: TreeReader;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with totals. */
  readonly onProgress?: ((progress: SnapshotProgress) => void) | undefined;
  /**
   * Called once for each chunk that is not zero, when its name is known: a mirror may keep it. Whether the chunk ever gets to
   * the store is not said. The bytes may be kept for as long as they are not changed.
   */
  readonly onHashed?: ((id: ChunkId, bytes: Uint8Array) => void) | undefined;
  /** Called once for each chunk's bytes when the writer will not read them again: whoever made them may use them anew. */
  readonly onRead?: ((bytes: Uint8Array) => void) | undefined;
}

export interface SnapshotProgress {
  /** Chunks put so far, bytes of the image. */
  readonly processedBytes: number;
  /** Bytes sent to the store, chunks, indexes, nodes. */
  readonly uploadedBytes: number;
}

/** Result of a finished writer: everything but the record is in the store. */
export interface WrittenSnapshot extends SnapshotProgress {
  readonly root: NodeReference | null;
  readonly allocatedBytes: Bytes;
  /** What a reader must know, for `requires`: of the base, and of what was written or found on top of it. */
  readonly requires: readonly string[];
  /** Whether all of it will be there when the record is published now. CONFLICT: it has to be written again (reliance.ts). */
  readonly confirm: (signal?: AbortSignal) => Promise<void>;
}

/**
 * Builds one snapshot's chunks and tree. Chunks are hashed, a chunk a turn, compared with the base and with the known
 * places, compressed where the repository allows it, appended to segments in the order they are put, uploaded in parallel; memory is bounded by back-pressure.
 */
export interface SnapshotWriter {
  /**
   * Says what chunk `chunk` holds: exactly chunkSizeBytes bytes (zero-padded at the end of the image), or null for zeros. A
   * chunk of zero bytes counts as null. Resolves when there is room for more, not when it is stored. The bytes must not
   * change before `onRead` names them. Each chunk at most once.
   */
  put(chunk: ChunkNumber, bytes: Uint8Array | null): Promise<void>;
  /**
   * Closes segments, writes changed nodes from the leaves up, waits until all is durable. `sizeBytes` replaces the size that
   * was given at the start when that was only a bound (a stream); no chunk beyond it may have been put.
   */
  finish(sizeBytes?: Bytes): Promise<WrittenSnapshot>;
  /** Stops uploads. What was uploaded stays as garbage for collection. */
  abandon(): Promise<void>;
}
