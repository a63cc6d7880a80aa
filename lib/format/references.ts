/** How things in a repository point to one another. */
import type { Bytes } from './geometry.js';

/** SHA-256 of a chunk's bytes (padded with zeros to the chunk size), 64 lower-case hex digits. */
export type ChunkId = string;
/** SHA-256 of an encoded tree node, 64 lower-case hex digits. */
export type NodeId = string;
/** Random name of a segment, 32 lower-case hex digits. */
export type SegmentId = string;
/** Random id of a repository, image, commit, writer (state directory): 32 lower-case hex digits. */
export type RandomId = string;

/** How the stored bytes are encoded (codec.ts). `zstd` comes with an entry in `requires`, and so will every further one. */
export type Codec = 'none' | 'zstd';

/** Where stored bytes are: a range of a segment. */
export interface Place {
  readonly segment: SegmentId;
  readonly offsetBytes: Bytes;
  readonly storedBytes: Bytes;
  readonly codec: Codec;
}

/** A chunk and its place: what a leaf says of a chunk that is not all zeros. */
export interface ChunkReference extends Place {
  readonly id: ChunkId;
}

/** A tree node and its place. */
export interface NodeReference extends Place {
  readonly id: NodeId;
}

/** A decoded tree node. `null` is all zeros, whatever lies below. */
export type TreeNode =
  | { readonly level: 0; readonly entries: readonly (ChunkReference | null)[] }
  | { readonly level: number; readonly entries: readonly (NodeReference | null)[] };
