/**
 * What the page and the daemon say to each other: values only, compiled into both.
 *
 *   GET  /, /style.css, /app.js             the page: the same for everybody, tells nothing
 *   GET  /api/events?image=NAME             a stream of server-sent events, as long as the page is open
 *   GET  /api/first-reads?image=NAME        FirstReadsMessage
 *   POST /api/commit, clone, revert, hydrate    bodies as the control API takes them (control-protocol.ts); ActionAnswer
 *
 * Everything below /api needs `Authorization: Bearer TOKEN`.
 */
import type { ChunkState } from '../../lib/image/picture-cells.js';
import type { ImageGlance } from '../../lib/image/views.js';
import type { OutcomeHistory } from '../tree/outcomes.js';

/** Cells of a picture at most: one chunk each for 2 GiB in chunks of 256 KiB. */
export const MOST_CELLS = 8192;

/** Seconds of history that a page is given when it is opened. */
export const HISTORY_SECONDS = 300;

/** What happened in one second, or since the sample before. Bytes and counts are per second. */
export interface Sample {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** Answered by workers, from what is on this host. */
  readonly localReads: number;
  readonly localReadBytes: number;
  readonly writtenBytes: number;
  /** Reads that had to wait for something that was not on this host, and ended. */
  readonly waitedReads: number;
  /** How long they took, milliseconds: half of them less, and all but one in a hundred; null: there were none. */
  readonly waitMedianMs: number | null;
  readonly waitMostMs: number | null;
  /** Stored bytes that came, by who wanted them. */
  readonly demandBytes: number;
  readonly readaheadBytes: number;
  readonly profileBytes: number;
  readonly fillBytes: number;
}

/** Event `mount`, once a second. */
export interface MountMessage {
  readonly repository: string;
  readonly mountpoint: string;
  readonly readOnly: boolean;
  readonly health: 'ok' | 'degraded' | 'offline';
  readonly localBytes: number;
  readonly quotaBytes: number | null;
  readonly waitingReads: number;
  readonly waitingFetches: number;
  /** The whole history in the first event of a stream, then what is new. */
  readonly samples: readonly Sample[];
  /** Images that somebody has looked at. */
  readonly images: readonly ImageGlance[];
  /** All names that the store listed last. */
  readonly names: readonly string[];
}

/** Event `activity`, when a command has begun or ended. */
export type ActivityMessage = Pick<OutcomeHistory, 'running' | 'outcomes'>;

/** Event `map`: the picture of the image that the page looks at, whole. */
export interface MapMessage {
  readonly image: string;
  readonly sizeBytes: number;
  readonly chunkSizeBytes: number;
  readonly chunks: number;
  readonly chunksPerCell: number;
  readonly counts: Readonly<Record<ChunkState, number>>;
  /** Base64 of the cells (lib/image/picture.ts). */
  readonly cells: string;
}

/** Event `change`: what differs from the picture before. */
export interface ChangeMessage {
  readonly counts: MapMessage['counts'];
  /** The first cell of each stretch, and base64 of its new cells. */
  readonly stretches: readonly (readonly [first: number, cells: string])[];
}

/** Event `nothing`: there is no picture of the image, and why. */
export interface NothingMessage {
  readonly image: string;
  readonly reason: string;
}

/** Base64 of order cells: 1 first, 255 last, 0 never. */
export interface FirstReadsMessage {
  readonly chunks: number;
  readonly chunksPerCell: number;
  readonly touched: { readonly chunks: number; readonly cells: string };
  readonly profile: { readonly chunks: number; readonly cells: string };
}

export type ActionName = 'commit' | 'clone' | 'revert' | 'hydrate';

/** `done`: it has ended well. `running`: it goes on, and its end comes as an `activity`. */
export interface ActionAnswer {
  readonly state: 'done' | 'running';
}

/** Body of every answer that is no success. */
export interface ErrorMessage {
  readonly error: { readonly code: string; readonly message: string };
}
