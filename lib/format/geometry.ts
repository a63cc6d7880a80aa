/**
 * Sizes, and how an image is divided: the only place that computes chunk and block numbers from byte offsets.
 *
 * Offsets are byte counts below 2^53; no 32-bit shift is ever applied to one. A chunk is the grain of the repository and
 * of the mirror, a block the grain in which local writes are tracked.
 */

/** The grain of local writes, bytes. The page size of the guest file systems we care for. */
export const BLOCK_SIZE = 4096;

/** Largest image, bytes (8 TiB): block numbers fit an unsigned 32-bit word. */
export const MAX_IMAGE_BYTES = 8 * 1024 ** 4;

/** Smallest, largest and default chunk size, bytes. 256 KiB: HPDC 2011 (Nicolae et al.) and our boot trace. */
export const MIN_CHUNK_SIZE = 64 * 1024;
export const MAX_CHUNK_SIZE = 4 * 1024 * 1024;
export const DEFAULT_CHUNK_SIZE = 256 * 1024;

/** How many entries a tree node covers. */
export const TREE_FANOUT = 256;

declare const unit: unique symbol;
/** A number that counts one kind of thing. */
type Counted<Unit extends string> = number & { readonly [unit]?: Unit };

/** Index of a chunk in an image, from 0. */
export type ChunkNumber = Counted<'chunk'>;
/** Index of a block in an image, from 0. */
export type BlockNumber = Counted<'block'>;
/** Index of a slot in a slot file, from 0. */
export type SlotNumber = Counted<'slot'>;
/** A byte offset or length. */
export type Bytes = Counted<'bytes'>;

/** Whether `bytes` is a chunk size that the format allows: a power of two from 64 KiB to 4 MiB. */
export function isChunkSize(bytes: number): boolean {
  return Number.isInteger(bytes) && bytes >= MIN_CHUNK_SIZE && bytes <= MAX_CHUNK_SIZE && (bytes & (bytes - 1)) === 0;
}

/** How many chunks an image of `sizeBytes` has. */
export function chunkCount(sizeBytes: Bytes, chunkSizeBytes: Bytes): number {
  return Math.ceil(sizeBytes / chunkSizeBytes);
}

/** How many blocks an image of `sizeBytes` has; the last one may be partial. */
export function blockCount(sizeBytes: Bytes): number {
  return Math.ceil(sizeBytes / BLOCK_SIZE);
}

/** The level of the root of a tree over `chunks` chunks: 0 is a leaf, which covers 256 chunks. */
export function rootLevel(chunks: number): number {
  let level = 0;
  for (let covered = TREE_FANOUT; covered < chunks; covered *= TREE_FANOUT) level++;
  return level;
}

/** How many chunks one entry of a node of `level` covers. */
export function chunksPerEntry(level: number): number {
  return TREE_FANOUT ** level;
}
