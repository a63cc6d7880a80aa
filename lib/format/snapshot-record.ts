/** The authoritative record of a snapshot: small JSON, written last, never changed. */
import type { Bytes } from './geometry.js';
import type { NodeReference, RandomId } from './references.js';

/** Which snapshot another one was made from. */
export interface ParentReference {
  readonly image: string;
  readonly imageId: RandomId;
  readonly number: number;
  readonly commitId: RandomId;
}

export interface SnapshotRecord {
  readonly formatVersion: 1;
  /** Features that a reader must know. */
  readonly requires: readonly string[];
  readonly imageId: RandomId;
  readonly number: number;
  readonly sizeBytes: Bytes;
  readonly chunkSizeBytes: Bytes;
  /** null: all zeros. */
  readonly root: NodeReference | null;
  /** Chunks that are not zero, times the chunk size. */
  readonly allocatedBytes: Bytes;
  readonly parent: ParentReference | null;
  /** Milliseconds since 1970, by the writer's clock. */
  readonly timeMs: number;
  readonly label: string;
  readonly commitId: RandomId;
  /** The state directory (or the one run of an import) that published it. */
  readonly writerId: RandomId;
}
