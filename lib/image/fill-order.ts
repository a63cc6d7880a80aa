/**
 * In which order the chunks of an image are filled in: the nearest to what was touched first.
 *
 * A guest that has read a chunk goes on in its neighbourhood far more often than anywhere else, so a fill that begins there
 * runs ahead of it, and an image that is mostly ballast gives its boot away first. Around each touched chunk a circle is
 * drawn, in the smallest one the last touched first; then the circles grow, each fourfold, until they cover the image. In
 * larger circles, which soon melt into one another, image order makes longer runs. Pure.
 */
import type { ChunkNumber } from '../format/geometry.js';

/** Chunks from `first` up to, not with, `end`. */
export interface ChunkRange {
  readonly first: ChunkNumber;
  readonly end: ChunkNumber;
}

const GROWTH = 4;

/**
 * Ranges of an image of `chunks` chunks, of which `touched` were touched in this order; the smallest circle reaches `radius`
 * chunks to either side. Together they cover every chunk; some chunks come twice.
 */
export function* fillRanges(touched: readonly ChunkNumber[], chunks: number, radius: number): Generator<ChunkRange> {
  const seeds = touched.filter((chunk) => chunk < chunks);
  for (const chunk of [...seeds].reverse()) yield around(chunk, radius, chunks);
  const ascending = [...new Set(seeds)].sort((a, b) => a - b);
  let covered: readonly ChunkRange[] = union(ascending, radius, chunks);
  for (let reach = radius * GROWTH; seeds.length > 0 && !isWhole(covered, chunks); reach *= GROWTH) {
    const wider = union(ascending, reach, chunks);
    yield* without(wider, covered);
    covered = wider;
  }
  if (seeds.length === 0) yield { first: 0, end: chunks };
}

function around(chunk: ChunkNumber, reach: number, chunks: number): ChunkRange {
  return { first: Math.max(0, chunk - reach), end: Math.min(chunks, chunk + reach + 1) };
}

/** The circles around `ascending` as ranges that do not touch. */
function union(ascending: readonly ChunkNumber[], reach: number, chunks: number): ChunkRange[] {
  const ranges: { first: ChunkNumber; end: ChunkNumber }[] = [];
  for (const chunk of ascending) {
    const { first, end } = around(chunk, reach, chunks);
    const last = ranges.at(-1);
    if (last !== undefined && first <= last.end) last.end = end;
    else ranges.push({ first, end });
  }
  return ranges;
}

/** What of `wider` is not in `inner`; both ascending, and `inner` lies within `wider`. */
function* without(wider: readonly ChunkRange[], inner: readonly ChunkRange[]): Generator<ChunkRange> {
  let at = 0;
  for (const { first, end } of wider) {
    let position = first;
    for (; at < inner.length && inner[at]!.first < end; at++) {
      if (position < inner[at]!.first) yield { first: position, end: inner[at]!.first };
      position = inner[at]!.end;
    }
    if (position < end) yield { first: position, end };
  }
}

function isWhole(ranges: readonly ChunkRange[], chunks: number): boolean {
  return ranges.length === 1 && ranges[0]!.first === 0 && ranges[0]!.end === chunks;
}
