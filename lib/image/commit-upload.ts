/**
 * The upload of a commit: each chunk that the frozen layers touch is composed and put; chunks whose base is local go first, so that
 * the link has work while the others are fetched.
 *
 * What is frozen changes no more, so nothing is locked. A chunk's buffer goes from hand to hand (chunk-buffers.ts): composed
 * here, a few ahead of the one that is put, then read by the writer and by the mirror, which keeps the chunk if it can.
 */
import { BLOCK_SIZE, chunkCount } from '../format/geometry.js';
import type { WrittenSnapshot } from '../repository/api.js';
import { LazydiskError } from '../util/errors.js';
import { touchedGroups } from './allocation.js';
import { ChunkBuffers } from './chunk-buffers.js';
import type { CommitParts } from './commit.js';
import { baseChunks, readOrDisown } from './disk-reader.js';
import type { DiskView } from './disk-reader.js';
import type { LocalHead } from './head.js';
import type { Layer } from './layer.js';
import { BELOW, STATES_PER_FLAG } from './plane.js';
import { isFromBase, isFromLayer, MISS } from './serve.js';

/** How many chunks are composed ahead of the one that is put next. */
const COMPOSE_AHEAD = 8;
/** How many chunks may wait for the local disk. */
const MAX_KEEPING = 64;

/** Puts all that a snapshot of the frozen layers needs but for its record. */
export async function upload(
  head: LocalHead,
  view: DiskView,
  frozen: readonly Layer[],
  parts: CommitParts,
  signal: AbortSignal | undefined,
): Promise<{ written: WrittenSnapshot; dirtyChunks: number }> {
  const { plane, sizeBytes } = view;
  const chunks = await dirtyChunksOf(view, frozen, signal);
  const keeping = new Set<Promise<void>>();
  const buffers = new ChunkBuffers(plane.chunkSizeBytes);
  const writer = parts.repository.writeSnapshot({
    chunkSizeBytes: plane.chunkSizeBytes,
    sizeBytes,
    base: head.record.base,
    known: parts.known,
    trees: parts.trees,
    signal,
    onHashed: (id, bytes) => {
      const kept = parts.keep(id, bytes).finally(() => keeping.delete(kept));
      keeping.add(kept);
      buffers.alsoReadBy(bytes, kept);
    },
    onRead: (bytes) => buffers.giveBack(bytes as Buffer),
  });
  try {
    let dirtyChunks = 0;
    let doneChunks = 0;
    const ahead: Promise<Buffer | null>[] = [];
    let next = 0;
    for (const chunk of chunks) {
      while (ahead.length < COMPOSE_AHEAD && next < chunks.length) {
        const composing = composed(view, chunks[next++]!, buffers, signal);
        // Its error is met when its turn comes, or not at all after an earlier one's.
        composing.catch(() => undefined);
        ahead.push(composing);
      }
      const bytes = await ahead.shift()!;
      if (bytes !== null) dirtyChunks++;
      await writer.put(chunk, bytes);
      head.upload = { doneChunks: ++doneChunks, totalChunks: chunks.length };
      while (keeping.size > MAX_KEEPING) await Promise.race(keeping);
    }
    const written = await writer.finish();
    await Promise.all(keeping);
    return { written, dirtyChunks };
  } catch (error) {
    await writer.abandon();
    throw error;
  } finally {
    head.upload = null;
  }
}

/** The chunks that may differ from the base: local ones first, each group in image order. */
async function dirtyChunksOf(
  view: DiskView,
  frozen: readonly Layer[],
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const { base, plane, sizeBytes } = view;
  const count = chunkCount(sizeBytes, plane.chunkSizeBytes);
  const dirty = new Set<number>();
  const blocksPerChunk = plane.chunkSizeBytes / BLOCK_SIZE;
  for (const first of touchedGroups(frozen)) {
    for (let block = first; block < first + STATES_PER_FLAG; block++) {
      if (!frozen.some((layer) => (layer.blocks.states[block] ?? BELOW) !== BELOW)) continue;
      const chunk = Math.floor(block / blocksPerChunk);
      if (chunk < count) dirty.add(chunk);
    }
  }
  // What a cut hides is zero now, although no block says so.
  const cut = Math.min(...frozen.map((layer) => layer.cutBlock));
  for await (const chunk of base.data(Math.floor(cut / blocksPerChunk), signal)) {
    if (chunk >= count) break;
    dirty.add(chunk);
  }
  const ascending = [...dirty].sort((a, b) => a - b);
  return [...ascending.filter((chunk) => base.isHere(chunk)), ...ascending.filter((chunk) => !base.isHere(chunk))];
}

/** A chunk as the frozen layers show it, zero-padded at the end of the image; null when it is all zero. */
async function composed(
  view: DiskView,
  chunk: number,
  buffers: ChunkBuffers,
  signal: AbortSignal | undefined,
): Promise<Buffer | null> {
  const { base, plane, sizeBytes } = view;
  const start = chunk * plane.chunkSizeBytes;
  const end = Math.min(start + plane.chunkSizeBytes, sizeBytes);
  let isZero = true;
  for (let block = start / BLOCK_SIZE; block * BLOCK_SIZE < end && isZero; block++) {
    isZero = !isFromLayer(plane.layers, block) && !isFromBase(plane.layers, block);
  }
  if (isZero) return null;
  const lease = await base.ensure(baseChunks(plane, start, end), signal);
  const bytes = buffers.take().fill(0, end - start);
  try {
    if (readOrDisown(plane, base, start, end - start, bytes, (wanted) => lease.transient(wanted)) === MISS) {
      throw new LazydiskError('IO', `Chunk ${chunk} left the mirror while a commit held it.`);
    }
  } finally {
    lease.release();
  }
  return bytes;
}
