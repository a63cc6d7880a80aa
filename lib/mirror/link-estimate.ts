/**
 * What the link holds: its rate times its round trip, measured from what travels anyway. The method is that of BBR (Cardwell et
 * al., "BBR: Congestion-Based Congestion Control", ACM Queue 2016), at the grain of requests.
 *
 *   - Round trip: the shortest time from a request to its first byte within the last ten to twenty seconds. It holds the
 *     server's own time, too: all of it has to be covered by what is under way.
 *   - Rate: bytes that came in an interval of one or two round trips. The largest of the last eight intervals counts, since load and
 *     a busy thread only make it smaller. An interval in which there was not enough to ask for says only "at least".
 *   - While the rate still grows by a quarter from interval to interval, the window is twice the product, so that it doubles each
 *     round trip; afterwards a quarter more than the product, which finds a link that became faster.
 * Pure but for its memory: times come as arguments, milliseconds of any clock that does not go back.
 */
import type { Bytes } from '../format/geometry.js';

/** Before anything is known: a tenth of a second of 100 Mbit/s, and near the product of a fast link already. */
const FIRST_WINDOW_BYTES = 1024 * 1024;
const SMALLEST_WINDOW_BYTES = 64 * 1024;

const GROWING_GAIN = 2;
const STEADY_GAIN = 1.25;
/** Intervals without growth, after which the link counts as full. */
const FULL_AFTER_INTERVALS = 3;
const GROWTH = 1.25;

const KEPT_INTERVALS = 8;
const SHORTEST_INTERVAL_MS = 10;
/** An even interval averages what a busy thread delays and then delivers at once. */
const STEADY_ROUND_TRIPS = 2;
const ROUND_TRIP_AGE_MS = 10_000;

export class LinkEstimate {
  private windowNow = FIRST_WINDOW_BYTES;
  private roundTrips: { sinceMs: number; now: number; before: number } | undefined;
  private interval: { sinceMs: number; bytes: Bytes; isLimited: boolean } | undefined;
  private readonly rates: number[] = [];
  private bestRate = 0;
  private intervalsWithoutGrowth = 0;

  constructor(private readonly largestWindowBytes: Bytes) {}

  /** Bytes that should be under way. */
  get windowBytes(): Bytes {
    return this.windowNow;
  }

  /** Bytes a millisecond, 0 while unknown. */
  get rate(): number {
    return Math.max(0, ...this.rates);
  }

  /** Milliseconds, undefined while unknown. */
  get roundTripMs(): number | undefined {
    return this.roundTrips === undefined ? undefined : Math.min(this.roundTrips.now, this.roundTrips.before);
  }

  /** The first byte of a request came `afterMs` after it. */
  answered(afterMs: number, nowMs: number): void {
    const known = this.roundTrips;
    if (known === undefined) {
      this.roundTrips = { sinceMs: nowMs, now: afterMs, before: Number.POSITIVE_INFINITY };
    } else if (nowMs - known.sinceMs > ROUND_TRIP_AGE_MS) {
      this.roundTrips = { sinceMs: nowMs, now: afterMs, before: known.now };
    } else {
      known.now = Math.min(known.now, afterMs);
    }
  }

  /** There was less to ask for than the window has room for: what comes now says nothing about what could. */
  ranOut(): void {
    if (this.interval !== undefined) this.interval.isLimited = true;
  }

  /** Bytes came. */
  arrived(bytes: Bytes, nowMs: number): void {
    const roundTripMs = this.roundTripMs;
    if (roundTripMs === undefined) return;
    if (this.interval === undefined) {
      this.interval = { sinceMs: nowMs, bytes: 0, isLimited: false };
      return;
    }
    this.interval.bytes += bytes;
    const roundTrips = this.isGrowing() ? 1 : STEADY_ROUND_TRIPS;
    const elapsedMs = nowMs - this.interval.sinceMs;
    if (elapsedMs < Math.max(SHORTEST_INTERVAL_MS, roundTrips * roundTripMs)) return;
    this.measured(this.interval.bytes / elapsedMs, this.interval.isLimited, roundTripMs);
    this.interval = { sinceMs: nowMs, bytes: 0, isLimited: false };
  }

  /** Nothing is under way any more: the time until the next request is nobody's measure. */
  wentIdle(): void {
    this.interval = undefined;
  }

  private isGrowing(): boolean {
    return this.intervalsWithoutGrowth < FULL_AFTER_INTERVALS;
  }

  private measured(rate: number, isLimited: boolean, roundTripMs: number): void {
    if (isLimited && rate <= this.rate) return;
    this.rates.push(rate);
    if (this.rates.length > KEPT_INTERVALS) this.rates.shift();
    if (rate >= this.bestRate * GROWTH) {
      this.bestRate = rate;
      this.intervalsWithoutGrowth = 0;
    } else if (!isLimited) {
      this.intervalsWithoutGrowth++;
    }
    const gain = this.isGrowing() ? GROWING_GAIN : STEADY_GAIN;
    const product = Math.max(gain * this.rate * roundTripMs, isLimited ? this.windowNow : SMALLEST_WINDOW_BYTES);
    this.windowNow = Math.min(this.largestWindowBytes, product);
  }
}
