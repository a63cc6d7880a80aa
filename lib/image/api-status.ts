/** Contracts of the image room, second part: what is told of an image, and the words in which. */
import type { Bytes } from '../format/geometry.js';
import type { RandomId } from '../format/references.js';
import type { WriterLock } from '../format/writer-lock.js';

/** Whether an open image is fetched in the background: not at all, on an idle link and into free room only, or by all means. */
export type FillMode = 'off' | 'idle' | 'eager';

/**
 * How far that is. `off`: nothing runs. `no-room`: what free room the cache has is used up. `failed`: the store failed; it is
 * tried again while the image is open.
 */
export type FillState = 'off' | 'running' | 'complete' | 'no-room' | 'failed';

/** What is done with boot profiles: recorded and replayed, replayed only, nothing. */
export type ProfileMode = 'auto' | 'replay' | 'off';

/** What came of the profile by which an image was opened last on this mount. */
export interface ReplayStatus {
  /** The image whose profile it was, an ancestor's for a clone; null: there was none. */
  readonly from: string | null;
  /** What was fetched by it, bytes of the image in whole chunks, and what of that nobody has touched so far. */
  readonly prefetchedBytes: Bytes;
  readonly unusedBytes: Bytes;
  /** Whether this boot is still being recorded. */
  readonly recording: boolean;
}

export type Health = 'ok' | 'degraded' | 'offline';

/** Status of one image (the `status` file). All sizes in bytes. */
export interface ImageStatus {
  readonly image: string;
  readonly imageId: RandomId;
  readonly sizeBytes: Bytes;
  /** The snapshot of this image that the head stands on, or null. */
  readonly baseNumber: number | null;
  /** The snapshot of another image on which a local clone stands: the store does not know this image yet. Else null. */
  readonly localCloneOf: { readonly image: string; readonly number: number } | null;
  readonly health: Health;
  readonly localBytes: Bytes;
  /**
   * Bytes of the base that are not known to be on this host, in whole chunks; local writes over them do not count. 0: the
   * base needs the store no more, unless the cache gives a chunk up. What nobody has looked up yet counts as missing.
   */
  readonly missingBytes: Bytes;
  /** Whether a read of the image may have to ask the store. */
  readonly needsStore: boolean;
  readonly fill: FillState;
  /** null: the image was not opened on this mount, or profiles are off. */
  readonly profile: ReplayStatus | null;
  /** How far a hydration of the image is; null: none runs. */
  readonly hydrating: { readonly arrivedBytes: Bytes; readonly totalBytes: Bytes } | null;
  readonly dirtyBytes: Bytes;
  /** Bytes that the layers' data files occupy on the local disk. */
  readonly layerAllocatedBytes: Bytes;
  readonly layers: number;
  readonly oldestUncommittedMs: number | null;
  readonly openCount: number;
  readonly committing: boolean;
  /** Why the head answers EIO until it is opened anew, or null. */
  readonly failure: string | null;
  readonly lock: WriterLock | null;
  readonly lockIsOurs: boolean;
}

/** What this host has of an image's head: known at once, whatever the store does. Means what it does in ImageStatus. */
export type HeadUsage = Pick<
  ImageStatus,
  | 'sizeBytes'
  | 'localBytes'
  | 'missingBytes'
  | 'dirtyBytes'
  | 'layerAllocatedBytes'
  | 'layers'
  | 'oldestUncommittedMs'
  | 'openCount'
  | 'committing'
  | 'failure'
>;
