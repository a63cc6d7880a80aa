/**
 * Filling: a base becomes local in the background, nearest to what was touched first (fill-order.ts).
 *
 * Chunks are asked for in batches, as many bytes ahead as keep a link busy; how they share the link with what a guest waits
 * for is the mirror's. Whenever something was touched since, the order is begun anew, so that the fill follows a guest that
 * jumps. A run asks for each chunk once and ends when all are here, when the mirror has no room, or when the store fails.
 */
import { setImmediate } from 'node:timers/promises';

import type { ChunkNumber } from '../format/geometry.js';
import type { PrefetchPriority } from '../mirror/api.js';
import { throwIfAborted } from '../util/abort.js';
import type { Base } from './base.js';
import { fillRanges } from './fill-order.js';
import type { ChunkRange } from './fill-order.js';

/** How a run ended. `complete`: every chunk is here. */
export type FillEnd = 'complete' | 'no-room' | 'failed';

/** The smallest circle around a touched chunk, and how much is asked for at once, bytes of the image. */
const NEAR_BYTES = 1024 * 1024;
const BATCH_BYTES = 4 * 1024 * 1024;
/** Stored bytes that are asked for and have not come: 80 ms of 100 MB/s, several round trips. */
const AHEAD_BYTES = 8 * 1024 * 1024;
/** So many batches that needed no network let other work of the main thread in between. */
const BATCHES_PER_TURN = 16;

export interface FillOptions {
  readonly priority: PrefetchPriority;
  readonly signal: AbortSignal;
  /** Told after each batch; bytes of the image that have come since the run began. */
  readonly onProgress?: (arrivedBytes: number) => void;
}

/** Fetches what is missing. ABORTED; whatever loading a tree node rejects with. */
export async function fill(base: Base, { priority, signal, onProgress }: FillOptions): Promise<FillEnd> {
  const order = new FillOrder(base);
  const { chunkSizeBytes } = base.tree;
  const perBatch = Math.max(1, BATCH_BYTES / chunkSizeBytes);
  const underWay = new Set<Promise<void>>();
  let aheadBytes = 0;
  let arrivedBytes = 0;
  let refused = false;
  let failed = false;
  let problem: unknown;
  let idleBatches = 0;
  while (!refused && !failed) {
    throwIfAborted(signal);
    while (aheadBytes >= AHEAD_BYTES) await Promise.race(underWay);
    const chunks = order.next(perBatch);
    if (chunks.length === 0) break;
    const wanted = await base.missing(chunks, signal);
    if (wanted.length === 0) {
      if (++idleBatches % BATCHES_PER_TURN === 0) await setImmediate();
      continue;
    }
    const bytes = wanted.reduce((sum, { reference }) => sum + reference.storedBytes, 0);
    aheadBytes += bytes;
    const job = base
      .prefetch(wanted, priority, signal)
      .then(({ arrivedChunks, failedChunks, refusedChunks }) => {
        arrivedBytes += arrivedChunks * chunkSizeBytes;
        refused ||= refusedChunks > 0;
        failed ||= failedChunks > 0;
        onProgress?.(arrivedBytes);
      })
      .catch((error: unknown) => {
        failed = true;
        problem ??= error;
      })
      .finally(() => {
        aheadBytes -= bytes;
        underWay.delete(job);
      });
    underWay.add(job);
  }
  await Promise.all(underWay);
  if (problem !== undefined) throw problem;
  if (failed) return 'failed';
  return refused ? 'no-room' : 'complete';
}

/** Chunks that a run has not asked for and that are not here, in order; it begins anew when something was touched. */
class FillOrder {
  /** 1: asked for in this run. */
  private readonly asked: Uint8Array;
  private ranges: Generator<ChunkRange> | undefined;
  private range: ChunkRange = { first: 0, end: 0 };
  private touchesSeen = -1;

  constructor(private readonly base: Base) {
    this.asked = new Uint8Array(base.chunks);
  }

  /** At most `limit` chunks; none when the run has asked for all. */
  next(limit: number): ChunkNumber[] {
    const { base, asked } = this;
    this.renew();
    const chunks: ChunkNumber[] = [];
    while (chunks.length < limit) {
      let { first } = this.range;
      for (; first < this.range.end && chunks.length < limit; first++) {
        if (asked[first] === 1 || base.isHere(first)) continue;
        asked[first] = 1;
        chunks.push(first);
      }
      this.range = { first, end: this.range.end };
      if (first < this.range.end) continue;
      const following = this.ranges!.next();
      if (following.done === true) break;
      this.range = following.value;
    }
    return chunks;
  }

  private renew(): void {
    const { base } = this;
    const touches = base.touches.count();
    if (this.ranges !== undefined && touches === this.touchesSeen) return;
    this.touchesSeen = touches;
    const radius = Math.max(1, Math.floor(NEAR_BYTES / base.tree.chunkSizeBytes));
    this.ranges = fillRanges(base.touches.inOrder(), base.chunks, radius);
    this.range = { first: 0, end: 0 };
  }
}
