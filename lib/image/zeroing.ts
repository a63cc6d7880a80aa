/**
 * Which blocks have to be marked `zero` so that a range reads as zeros: those that do not already.
 *
 * A trim of a whole disk must not cost a byte of memory for each of its blocks, so stretches that no layer has touched,
 * over chunks of the base that are known to be zero, are left `below`.
 */
import { BLOCK_SIZE } from '../format/geometry.js';
import type { Base } from './base.js';
import type { Layer } from './layer.js';
import { STATES_PER_FLAG } from './plane.js';

/** The stretches of blocks, first and last included, of [first, last] that need marking, ascending and merged. */
export function zeroStretches(
  layers: readonly Layer[],
  base: Base,
  first: number,
  last: number,
): [first: number, last: number][] {
  const stretches: [number, number][] = [];
  for (let from = first; from <= last;) {
    const groupEnd = Math.min(last, (Math.floor(from / STATES_PER_FLAG) + 1) * STATES_PER_FLAG - 1);
    if (!isZeroAlready(layers, base, from, groupEnd)) {
      const previous = stretches[stretches.length - 1];
      if (previous?.[1] === from - 1) previous[1] = groupEnd;
      else stretches.push([from, groupEnd]);
    }
    from = groupEnd + 1;
  }
  return stretches;
}

/** Within one group: no layer has touched it, and nothing in the base shows through. */
function isZeroAlready(layers: readonly Layer[], base: Base, first: number, last: number): boolean {
  const group = Math.floor(first / STATES_PER_FLAG);
  if (layers.some((layer) => layer.blocks.touched[group] === 1)) return false;
  if (layers.some((layer) => first >= layer.cutBlock)) return true;
  const chunkSize = base.tree.chunkSizeBytes;
  const lastChunk = Math.floor((last * BLOCK_SIZE) / chunkSize);
  for (let chunk = Math.floor((first * BLOCK_SIZE) / chunkSize); chunk <= lastChunk; chunk++) {
    if (!base.isKnownZero(chunk)) return false;
  }
  return true;
}
