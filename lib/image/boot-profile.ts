/**
 * What a boot profile is made of and made into: chunks that were touched become ranges, ranges become chunks to fetch, and a
 * profile learns from the next boot. Pure.
 *
 * The next boot's order wins. What it did not touch stays behind that, and leaves after three boots in a row without use: one
 * odd boot does not cost what all others need, and what was recorded by mistake (a scan, a copy) is gone after three.
 */
import type { Bytes, ChunkNumber } from '../format/geometry.js';
import {
  MAX_PROFILE_BYTES,
  MAX_PROFILE_RANGES,
  PROFILE_GRAIN,
  UNUSED_BOOTS_LIMIT,
  type BootProfile,
  type ProfileRange,
} from '../format/profile.js';

/** A share of a profile that has to change before it is written again. */
const WORTH_SHARE = 0.05;

/**
 * The ranges of `earlier` after a boot that touched these chunks, in this order. Bounded as the format says: what was touched
 * last, or not at all, is left out.
 */
export function mergedRanges(
  earlier: readonly ProfileRange[],
  touched: readonly ChunkNumber[],
  chunkSizeBytes: Bytes,
): ProfileRange[] {
  const perChunk = chunkSizeBytes / PROFILE_GRAIN;
  const unusedOf = new Map<number, number>();
  for (const chunk of touched) {
    for (let grain = chunk * perChunk; grain < (chunk + 1) * perChunk; grain++) unusedOf.set(grain, 0);
  }
  for (const range of earlier) {
    const first = range.offsetBytes / PROFILE_GRAIN;
    const unusedBoots = range.unusedBoots + 1;
    if (unusedBoots >= UNUSED_BOOTS_LIMIT) continue;
    for (let grain = first; grain < first + range.lengthBytes / PROFILE_GRAIN; grain++) {
      if (!unusedOf.has(grain)) unusedOf.set(grain, unusedBoots);
    }
  }
  const ranges: { offsetBytes: number; lengthBytes: number; unusedBoots: number }[] = [];
  let totalBytes = 0;
  for (const [grain, unusedBoots] of unusedOf) {
    if (totalBytes + PROFILE_GRAIN > MAX_PROFILE_BYTES) break;
    const offsetBytes = grain * PROFILE_GRAIN;
    const last = ranges.at(-1);
    const goesOn = last?.unusedBoots === unusedBoots && last.offsetBytes + last.lengthBytes === offsetBytes;
    if (goesOn) last.lengthBytes += PROFILE_GRAIN;
    else if (ranges.length === MAX_PROFILE_RANGES) break;
    else ranges.push({ offsetBytes, lengthBytes: PROFILE_GRAIN, unusedBoots });
    totalBytes += PROFILE_GRAIN;
  }
  return ranges;
}

/** The chunks that the ranges touch in an image of `chunks` chunks, each once, in order. */
export function chunksOf(ranges: readonly ProfileRange[], chunkSizeBytes: Bytes, chunks: number): ChunkNumber[] {
  const found = new Set<ChunkNumber>();
  for (const { offsetBytes, lengthBytes } of ranges) {
    const last = Math.min(chunks - 1, Math.floor((offsetBytes + lengthBytes - 1) / chunkSizeBytes));
    for (let chunk = Math.floor(offsetBytes / chunkSizeBytes); chunk <= last; chunk++) found.add(chunk);
  }
  return [...found];
}

/** Bytes of all ranges. */
export function profileBytes(ranges: readonly ProfileRange[]): Bytes {
  return ranges.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
}

/** Whether `next` differs so much from what the store holds that it is worth a request. */
export function isWorthKeeping(stored: BootProfile | null, next: readonly ProfileRange[]): boolean {
  if (stored === null) return next.length > 0;
  const before = grainsOf(stored.ranges);
  const after = grainsOf(next);
  let changed = 0;
  for (const [grain, unused] of after) if (before.get(grain) !== unused) changed++;
  for (const grain of before.keys()) if (!after.has(grain)) changed++;
  return changed > before.size * WORTH_SHARE;
}

function grainsOf(ranges: readonly ProfileRange[]): Map<number, number> {
  const grains = new Map<number, number>();
  for (const { offsetBytes, lengthBytes, unusedBoots } of ranges) {
    const first = offsetBytes / PROFILE_GRAIN;
    for (let grain = first; grain < first + lengthBytes / PROFILE_GRAIN; grain++) grains.set(grain, unusedBoots);
  }
  return grains;
}
