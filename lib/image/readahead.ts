/**
 * Readahead: who reads a base in order finds the next chunks here.
 *
 * Decisions (pure): a miss right behind what was read lately opens a window; any other miss opens none. The first chunk of a
 * window is marked; when it is read, the next window, twice as large, is asked for. So a window is asked for a whole window
 * before it is needed, and a stream that breaks off costs one window: nobody reads its mark. A miss inside what a stream has
 * asked for waits for what is on its way; one at its end has outrun it, and it goes on from there.
 * Kept apart from the doing: `ReadaheadStreams` marks chunks, waits for marks to be read, and fetches.
 */
import type { ChunkNumber } from '../format/geometry.js';
import type { Base } from './base.js';
import type { ChunkRange } from './fill-order.js';

/** Sizes of windows, in chunks. */
export interface ReadaheadLimits {
  readonly firstChunks: number;
  readonly mostChunks: number;
}

/** A reader that goes on in order. */
export interface Stream {
  /** From here on, up to the end of the window, chunks are here or on their way. */
  readonly first: ChunkNumber;
  /** What was asked for last. */
  readonly window: ChunkRange;
}

/** The first window of a stream, and the largest, bytes. */
const FIRST_WINDOW_BYTES = 1024 * 1024;
const LARGEST_WINDOW_BYTES = 8 * 1024 * 1024;
/** Streams of one base; the one that was not heard of for the longest time is forgotten. */
const MAX_STREAMS = 32;
/** How far back a miss looks for what was read right before it: as many readers may take turns. */
const RECENT = 32;

export function readaheadLimits(chunkSizeBytes: number): ReadaheadLimits {
  return {
    firstChunks: Math.max(1, FIRST_WINDOW_BYTES / chunkSizeBytes),
    mostChunks: Math.max(1, LARGEST_WINDOW_BYTES / chunkSizeBytes),
  };
}

/**
 * What becomes of the streams after a miss of the chunks in `miss`: the stream that goes on or is new, or undefined. `recent`:
 * chunks that were read before it, in any order. The image has `chunks` chunks.
 */
export function streamAfterMiss(
  miss: ChunkRange,
  recent: readonly ChunkNumber[],
  streams: readonly Stream[],
  chunks: number,
  limits: ReadaheadLimits,
): { readonly stream: Stream; readonly replaces: Stream | undefined } | undefined {
  const known = streams.find(({ first, window }) => miss.first >= first && miss.first <= window.end);
  if (known !== undefined && miss.first < known.window.end) return undefined;
  if (known === undefined && !recent.includes(miss.first - 1)) return undefined;
  const wanted = known === undefined ? limits.firstChunks : 2 * (known.window.end - known.window.first);
  const window = windowFrom(miss.end, wanted, chunks, limits);
  return window && { stream: { first: miss.first, window }, replaces: known };
}

/** The stream when its mark was read: it goes on behind its window. Undefined at the end of the image. */
export function streamAfterMark({ window }: Stream, chunks: number, limits: ReadaheadLimits): Stream | undefined {
  const following = windowFrom(window.end, 2 * (window.end - window.first), chunks, limits);
  return following && { first: window.first, window: following };
}

function windowFrom(
  first: ChunkNumber,
  wanted: number,
  chunks: number,
  limits: ReadaheadLimits,
): ChunkRange | undefined {
  const end = Math.min(chunks, first + Math.min(wanted, limits.mostChunks));
  return first < end ? { first, end } : undefined;
}

/** The streams of one base, from its first open to its last close. */
export class ReadaheadStreams {
  private readonly limits: ReadaheadLimits;
  /** The one that was heard of last is at the end. */
  private streams: Stream[] = [];
  private readonly recentMisses: ChunkNumber[] = [];
  private readonly underWay = new Set<Promise<void>>();

  constructor(
    private readonly base: Base,
    private readonly signal: AbortSignal,
  ) {
    this.limits = readaheadLimits(base.tree.chunkSizeBytes);
  }

  /** Somebody waits for these chunks, which follow one another. */
  missed(miss: ChunkRange): void {
    const { base, streams, recentMisses } = this;
    const recent = [...recentMisses, ...base.touches.last(RECENT)];
    const next = streamAfterMiss(miss, recent, streams, base.chunks, this.limits);
    if (next !== undefined) this.follow(next.stream, next.replaces);
    recentMisses.push(miss.end - 1);
    if (recentMisses.length > RECENT) recentMisses.shift();
  }

  /** Extends streams as their marks are read, until the signal fires. */
  async run(): Promise<void> {
    const { touches } = this.base;
    const stop = (): void => {
      touches.wake();
    };
    this.signal.addEventListener('abort', stop, { once: true });
    while (!this.signal.aborted) {
      const seen = touches.wakes();
      for (const stream of this.streams.filter(({ window }) => !touches.isMarked(window.first))) {
        const next = streamAfterMark(stream, this.base.chunks, this.limits);
        if (next === undefined) this.streams = this.streams.filter((one) => one !== stream);
        else this.follow(next, stream);
      }
      await touches.woken(seen);
    }
    for (const { window } of this.streams) touches.unmark(window.first);
    await Promise.all(this.underWay);
  }

  /** Marks and fetches the window of a stream that is new or goes on. */
  private follow(stream: Stream, replaced: Stream | undefined): void {
    const { base, signal } = this;
    const { window } = stream;
    this.streams = [...this.streams.filter((one) => one !== replaced), stream];
    if (replaced !== undefined) base.touches.unmark(replaced.window.first);
    const forgotten = this.streams.length > MAX_STREAMS ? this.streams.shift() : undefined;
    if (forgotten !== undefined) base.touches.unmark(forgotten.window.first);
    base.touches.mark(window.first);
    const chunks = Array.from({ length: window.end - window.first }, (_, index) => window.first + index);
    const fetching = base
      .missing(chunks, signal)
      .then((wanted) => base.prefetch(wanted, 'readahead', signal))
      // Whoever reads one of them meets the error.
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => this.underWay.delete(fetching));
    this.underWay.add(fetching);
  }
}
