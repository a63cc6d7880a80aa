/** `writer.json`: who may write to the head of an image, and on which base it stands. */
import type { RandomId } from './references.js';

export interface WriterLock {
  readonly formatVersion: 1;
  /** The image that is written; also the id of an image that was never committed. */
  readonly imageId: RandomId;
  /** Identity of the holder: the id of its state directory. */
  readonly stateId: RandomId;
  /** For messages only. */
  readonly host: string;
  readonly pid: number;
  readonly timeMs: number;
  /** The snapshot that the head stands on; null before the first commit. */
  readonly base: { readonly number: number; readonly commitId: RandomId } | null;
}
