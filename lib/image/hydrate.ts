/**
 * Hydrating: an image becomes local because somebody said so, whether it is open or not.
 *
 * It looks up every leaf, so that afterwards it is known what is here, and asks for what is not in the class of a profile: demand
 * goes first, the fill of other images after it. Unlike a fill it may evict what other images have left, but not itself:
 * an image that the cache can't hold is refused before anything travels.
 */
import { LazydiskError } from '../util/errors.js';
import type { HydrateOutcome } from './api.js';
import type { Base } from './base.js';
import { fill } from './fill.js';

export interface HydrateOptions {
  readonly image: string;
  /** The most that the cache may hold; null: as much as the disk. */
  readonly quotaBytes: number | null;
  readonly signal: AbortSignal;
  readonly onProgress: (arrivedBytes: number) => void;
}

/** NO_SPACE, UNREACHABLE, DAMAGED, ABORTED. */
export async function hydrate(base: Base, options: HydrateOptions): Promise<HydrateOutcome> {
  const { image, quotaBytes, signal, onProgress } = options;
  const { allocatedBytes } = base.tree;
  if (quotaBytes !== null && allocatedBytes > quotaBytes) {
    throw new LazydiskError(
      'NO_SPACE',
      `${image} has ${allocatedBytes} bytes of data and the cache takes ${quotaBytes}: mount with a larger --cache-size.`,
      { facts: { image, allocatedBytes, quotaBytes } },
    );
  }
  const startMs = performance.now();
  let fetchedBytes = 0;
  const end = await fill(base, {
    priority: 'prefetch',
    signal,
    onProgress: (arrivedBytes) => {
      fetchedBytes = arrivedBytes;
      onProgress(arrivedBytes);
    },
  });
  const missingBytes = base.missingBytes();
  if (end === 'failed') {
    throw new LazydiskError(
      'UNREACHABLE',
      `${image} is not whole: ${missingBytes} bytes could not be fetched; try again.`,
    );
  }
  if (end === 'no-room' || missingBytes > 0) {
    throw new LazydiskError('NO_SPACE', `${image} is not whole: there was no room for ${missingBytes} bytes.`);
  }
  return { image, localBytes: base.localBytes(), fetchedBytes, durationMs: performance.now() - startMs };
}
