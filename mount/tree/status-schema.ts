/**
 * The schema of `status`, version 1: what the status files, the control API and `lazydisk status --json` show.
 *
 * camelCase, units at the end of names, sizes in bytes, times in milliseconds since 1970. A field is never removed or given
 * another meaning within a version; fields may be added. `null` means "there is none", or "not known now" where it says so.
 */
import type { Health, ImageStatus } from '../../lib/image/api.js';
import type { FetchPriority } from '../../lib/mirror/api.js';
import type { HeldImage } from './held-images.js';
import type { RunningCommand } from './outcomes.js';

export const STATUS_SCHEMA_VERSION = 1;

/** Calls to the store since the mount began. Made by whoever stacks the store's decorators. */
export interface StoreStatistics {
  /** Requests sent, tries included. */
  readonly requests: number;
  /** Tries that failed, those that were tried again included. */
  readonly errors: number;
  readonly lastError: { readonly message: string; readonly timeMs: number } | null;
  /** When the store answered last, be it that it refused; null: not yet. */
  readonly lastAnswerMs: number | null;
}

/** What a mount is; fixed for its life. */
export interface MountIdentity {
  readonly repositoryId: string;
  /** The repository, as the user named it. Holds no credentials. */
  readonly repository: string;
  readonly mountpoint: string;
  readonly stateDirectory: string;
  readonly driver: string;
  readonly daemonPid: number;
  readonly readOnly: boolean;
}

/** `status` of an image: ImageStatus of lib/image/api.ts, the version, and the commands about it that have not ended. */
export interface ImageStatusDocument extends ImageStatus {
  readonly schemaVersion: typeof STATUS_SCHEMA_VERSION;
  readonly running: readonly RunningCommand[];
}

/** `status` of the whole mount. */
export interface MountStatus extends MountIdentity {
  readonly schemaVersion: typeof STATUS_SCHEMA_VERSION;
  /**
   * `ok`: the store answers. `degraded`: the local disk has failed an image. `offline`: the store does not answer; what is local
   * works, and the store is asked again every 15 s.
   */
  readonly health: Health;
  readonly startedMs: number;

  /** Chunks that this host has, bytes on the local disk, of all images. */
  readonly localBytes: number;
  /** The most that `localBytes` may grow to, or null: as much as leaves the file system its share free. */
  readonly quotaBytes: number | null;
  /** Bytes of blocks that were written on this host and not committed. */
  readonly dirtyBytes: number;
  /** Bytes that the uncommitted writes occupy on the local disk. */
  readonly layerAllocatedBytes: number;
  /** Time of the oldest write that is not committed, or null. */
  readonly oldestUncommittedMs: number | null;

  /** Since the mount began: bytes, chunks and ranged requests that were fetched from the store. */
  readonly fetchedBytes: number;
  readonly fetchedChunks: number;
  readonly fetchRequests: number;
  /** Stored bytes of the chunks that came, by who waited for them: `demand`, `readahead`, `prefetch`, `fill`. */
  readonly fetchedBytesByPriority: Readonly<Record<FetchPriority, number>>;
  /** Second requests that raced a slow one for a reader, and how many of them were first. */
  readonly hedges: number;
  readonly hedgesWon: number;
  /** Reads that were answered from this host alone, without the main thread. */
  readonly hits: number;
  /** Chunks that were not here when they were wanted. */
  readonly misses: number;
  readonly evictedChunks: number;
  /** Chunks whose bytes were not what they should be. */
  readonly damagedChunks: number;

  /** Reads, and chunks, that are being waited for at this moment. */
  readonly waitingReads: number;
  readonly waitingFetches: number;
  /** For how long the read waits that has waited longest; 0: none waits. */
  readonly longestWaitingReadMs: number;
  /** Requests that workers passed to the main thread. */
  readonly forwardedRequests: number;
  readonly workers: number;

  readonly storeRequests: number;
  readonly storeErrors: number;
  readonly lastStoreError: { readonly message: string; readonly timeMs: number } | null;
  /** When the store answered last; null: not yet. A mount that needs nothing asks nothing. */
  readonly lastStoreAnswerMs: number | null;

  /** Commands that have begun and not ended. */
  readonly runningCommands: number;
  readonly running: readonly RunningCommand[];
  /** Ascending by name. */
  readonly images: readonly ImageStatus[];
  /** Images that did not say their status in time, ascending; `images` lacks them, the sums don't. */
  readonly unknownImages: readonly string[];
  /** False when not even the names could be listed in time: `images` is empty then. */
  readonly imagesListed: boolean;
}

/**
 * What a mount tells without asking the store, for those who look again and again. Fields as in MountStatus; `images` are those whose
 * disk is open or has local writes on this host.
 */
export interface MountGlance extends Omit<MountStatus, 'images' | 'unknownImages' | 'imagesListed'> {
  readonly images: readonly HeldImage[];
}
