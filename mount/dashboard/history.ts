/**
 * What went on in the last minutes, one sample a second: a page that is opened shows what came before.
 *
 * A sample is the difference of counters that are kept anyway; nothing on the way of a read knows of it.
 */
import type { MirrorStatistics } from '../../lib/mirror/api.js';
import type { DriverStatistics } from '../fuse/driver.js';
import { HISTORY_SECONDS, type Sample } from './protocol.js';
import type { ReadTimes, TakenTimes } from './read-times.js';

/** The counters at a moment. */
export interface Counters {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly driver: Pick<DriverStatistics, 'localReads' | 'localReadBytes' | 'localWriteBytes'>;
  readonly fetchedBytes: MirrorStatistics['fetchedBytesByPriority'];
}

/** A sample is taken so often, milliseconds. */
const SAMPLE_MS = 1000;

export class History {
  private readonly kept: Sample[] = [];
  private readonly listeners = new Set<(sample: Sample) => void>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly read: () => Counters,
    private readonly times: ReadTimes,
  ) {}

  start(): void {
    let before = this.read();
    this.timer = setInterval(() => {
      const now = this.read();
      this.add(sampleOf(before, now, this.times.take()));
      before = now;
    }, SAMPLE_MS);
    this.timer.unref();
  }

  /** Oldest first. */
  get samples(): readonly Sample[] {
    return this.kept;
  }

  /** Tells of every sample from now on; the returned function ends that. */
  onSample(listener: (sample: Sample) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.timer);
    this.listeners.clear();
  }

  private add(sample: Sample): void {
    this.kept.push(sample);
    if (this.kept.length > HISTORY_SECONDS) this.kept.shift();
    for (const listener of [...this.listeners]) listener(sample);
  }
}

/** What happened between two readings, per second. */
export function sampleOf(before: Counters, now: Counters, times: TakenTimes): Sample {
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000);
  const rate = (later: number, earlier: number): number => Math.max(0, Math.round((later - earlier) / seconds));
  const fetched = (...names: (keyof Counters['fetchedBytes'])[]): number =>
    names.reduce((sum, name) => sum + rate(now.fetchedBytes[name], before.fetchedBytes[name]), 0);
  return {
    atMs: now.atMs,
    localReads: rate(now.driver.localReads, before.driver.localReads),
    localReadBytes: rate(now.driver.localReadBytes, before.driver.localReadBytes),
    writtenBytes: rate(now.driver.localWriteBytes, before.driver.localWriteBytes),
    waitedReads: rate(times.count, 0),
    waitMedianMs: times.medianMs,
    waitMostMs: times.mostMs,
    demandBytes: fetched('demand'),
    readaheadBytes: fetched('readahead'),
    profileBytes: fetched('prefetch'),
    fillBytes: fetched('fill', 'eager'),
  };
}
