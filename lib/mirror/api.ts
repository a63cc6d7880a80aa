/**
 * Contracts of the mirror room: this host's verified copies of chunks, shared by all images.
 */
import type { Bytes, ChunkNumber, SlotNumber } from '../format/geometry.js';
import type { ChunkId, ChunkReference, Place } from '../format/references.js';
import type { OnBytes } from '../store/object-store.js';

/** Values in a slot map. Workers read them, only the mirror writes them. */
export const SLOT_UNKNOWN = 0;
export const SLOT_ZERO = 1;
/** A chunk in slot n is written as n + FIRST_SLOT. */
export const FIRST_SLOT = 2;

/**
 * Which chunks of one tree are here: one word per chunk, shared with the workers, which may keep the array for as long as
 * the mirror's fence has not passed. Made and changed only by the mirror; each slot knows the maps that name it.
 */
export interface SlotMap {
  readonly chunkSizeBytes: Bytes;
  readonly words: Int32Array<SharedArrayBuffer>;
}

/** Order of fetches: demand never queues behind the others. `eager` is a fill that lets others leave. */
export type FetchPriority = 'demand' | 'readahead' | 'prefetch' | 'eager' | 'fill';

/** What is fetched before anybody has asked for it. */
export type PrefetchPriority = Exclude<FetchPriority, 'demand'>;

/** What became of each chunk of a `prefetch`. */
export interface PrefetchOutcome {
  /** Published in the map, or it was there already. */
  readonly arrivedChunks: number;
  /** Not fetched: the store failed, or the chunk is damaged there. */
  readonly failedChunks: number;
  /** Not kept: no room within the quota (fill only), or the local disk is full or failing. */
  readonly refusedChunks: number;
}

/** One chunk of a map that is not zero. */
export interface WantedChunk {
  readonly chunk: ChunkNumber;
  readonly reference: ChunkReference;
}

/** Holds chunks in place until released. Release exactly once, in a finally. */
export interface Lease {
  /** The bytes of a chunk that could not be kept on the local disk (full or failing): serve from these. */
  transient(chunk: ChunkNumber): Uint8Array | undefined;
  release(): void;
}

/** Files that workers read chunks from, one per chunk size. Fixed for the life of the mirror. */
export interface SlotFile {
  readonly chunkSizeBytes: Bytes;
  /** Open for reading and writing; workers read slot n at n * chunkSizeBytes. */
  readonly descriptor: number;
  /** One byte per slot, shared: whoever reads a slot sets it to 1 (the clock's referenced bit). */
  readonly referenced: Uint8Array<SharedArrayBuffer>;
}

/** Where missing chunks come from. Rejects as ObjectStore.get does. */
export interface ChunkSource {
  /** Reads `lengthBytes` from a segment. One ranged GET. `onBytes` hears of them as they arrive, or once. */
  read(
    place: Pick<Place, 'segment' | 'offsetBytes'> & { lengthBytes: Bytes },
    signal: AbortSignal,
    onBytes?: OnBytes,
  ): Promise<Buffer>;
}

export interface MirrorStatistics {
  readonly localBytes: number;
  readonly quotaBytes: number | null;
  readonly fetchedBytes: number;
  readonly fetchedChunks: number;
  readonly fetchRequests: number;
  /** Stored bytes of the chunks that came, by who waited for them. */
  readonly fetchedBytesByPriority: Readonly<Record<FetchPriority, number>>;
  /** Second GETs that raced a slow one, and those that were first with a chunk. */
  readonly hedges: number;
  readonly hedgesWon: number;
  readonly evictedChunks: number;
  readonly waitingFetches: number;
  readonly damagedChunks: number;
}

export interface Mirror {
  slotFile(chunkSizeBytes: Bytes): SlotFile;

  /** A new map, all unknown. */
  createMap(chunkSizeBytes: Bytes, chunks: number): SlotMap;
  /** Forgets the map: no slot names it any more. The caller has made sure that no worker uses it. */
  releaseMap(map: SlotMap): void;
  /** Marks chunks as zero in the map. Synchronous. */
  markZero(map: SlotMap, chunks: Iterable<ChunkNumber>): void;

  /**
   * Publishes in the map those of `wanted` that are local and trusted; the others stay unknown. Chunks that
   * were kept under another boot id are not trusted until `ensure` has verified them.
   */
  publishLocal(map: SlotMap, wanted: readonly WantedChunk[]): Promise<void>;

  /**
   * Makes every wanted chunk local, verified and published in the map, and holds it there until the lease is released.
   * One fetch per chunk however many ask; chunks that stand one after the other in a segment travel in one ranged GET;
   * different runs in parallel. A wrong checksum is fetched again once, then DAMAGED. UNREACHABLE, ABORTED (only this
   * caller's wait ends; the fetch goes on for others).
   */
  ensure(map: SlotMap, wanted: readonly WantedChunk[], priority: FetchPriority, signal?: AbortSignal): Promise<Lease>;

  /**
   * Fetches and publishes the chunks as `ensure` does, but holds nothing, and fails for no single chunk: resolves when each of them
   * has arrived, failed or been refused. Whoever demands one of them meanwhile raises it. `fill` never evicts: what
   * finds no free room within the quota is refused at once. ABORTED: the signal fired; chunks that nobody else waits
   * for and whose fetch has not begun are dropped. So does a mirror that is being closed.
   */
  prefetch(
    map: SlotMap,
    wanted: readonly WantedChunk[],
    priority: PrefetchPriority,
    signal?: AbortSignal,
  ): Promise<PrefetchOutcome>;

  /**
   * Keeps a chunk that this host has made itself (a commit); best effort: no room is no error. `bytes` has the length of
   * a chunk and hashes to `id` (the caller has just hashed it); it may change again when this has settled.
   */
  insert(id: ChunkId, bytes: Uint8Array): Promise<void>;

  /** Bytes of one published slot, for the main thread: synchronous, into `target`. Sets the referenced bit. */
  readSlot(chunkSizeBytes: Bytes, slot: SlotNumber, offset: number, target: Uint8Array): void;

  /**
   * The local disk failed to give a chunk of the map: its slot is never used again by this process, and the chunk is unknown in every
   * map when this returns, held or not. Nothing when it is not here.
   */
  retire(map: SlotMap, chunk: ChunkNumber): void;

  /** Frees at least `bytes` on the local disk if it can: a layer has met ENOSPC. Resolves to what was freed. */
  giveWay(bytes: Bytes): Promise<number>;

  /** Chunks of the map that are on their way, or wait for it: for people who look. */
  underWay(map: SlotMap): ChunkNumber[];

  statistics(): MirrorStatistics;
  /** Waits for running fetches to end (aborts them), closes files and the record. */
  close(): Promise<void>;
}
