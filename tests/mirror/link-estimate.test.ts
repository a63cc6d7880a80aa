import { describe, expect, test } from '@jest/globals';
import { LinkEstimate } from '../../lib/mirror/link-estimate.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const PIECE = 64 * KIB;

/** A link with one queue: requests of 256 KiB, as many under way as the window says. Times are its own. */
class ModelLink {
  nowMs = 0;
  longestQueueMs = 0;
  private linkFreeMs = 0;
  private awaited = 0;
  private events: { atMs: number; bytes: number; firstAfterMs: number | undefined }[] = [];

  constructor(
    readonly estimate: LinkEstimate,
    public bytesPerMs: number,
    readonly roundTripMs: number,
  ) {}

  /** Runs with endless work. Resolves to the bytes a millisecond that came. */
  run(forMs: number): number {
    const endMs = this.nowMs + forMs;
    let came = 0;
    for (;;) {
      while (this.awaited < this.estimate.windowBytes) this.request(Math.max(PIECE, this.estimate.windowBytes / 4));
      const next = this.events.shift()!;
      if (next.atMs > endMs) {
        this.events.unshift(next);
        this.nowMs = endMs;
        return came / forMs;
      }
      this.nowMs = next.atMs;
      this.awaited -= next.bytes;
      came += next.bytes;
      if (next.firstAfterMs !== undefined) this.estimate.answered(next.firstAfterMs, this.nowMs);
      this.estimate.arrived(next.bytes, this.nowMs);
    }
  }

  private request(bytes: number): void {
    this.awaited += bytes;
    const arrivesMs = this.nowMs + this.roundTripMs;
    this.longestQueueMs = Math.max(this.longestQueueMs, this.linkFreeMs - arrivesMs);
    this.linkFreeMs = Math.max(this.linkFreeMs, arrivesMs);
    for (let left = bytes, first = true; left > 0; left -= PIECE, first = false) {
      const piece = Math.min(PIECE, left);
      this.linkFreeMs += piece / this.bytesPerMs;
      this.events.push({
        atMs: this.linkFreeMs,
        bytes: piece,
        firstAfterMs: first ? this.linkFreeMs - this.nowMs : undefined,
      });
    }
  }
}

describe('LinkEstimate', () => {
  test.each([
    ['20 ms, 100 MB/s', 100_000, 20],
    ['100 ms, 100 MB/s', 100_000, 100],
    ['20 ms, 12 MB/s', 12_000, 20],
    ['2 ms, 1 GB/s', 1_000_000, 2],
  ])('fills a link of %s and keeps its queue short', (_, bytesPerMs, roundTripMs) => {
    const link = new ModelLink(new LinkEstimate(64 * MIB), bytesPerMs, roundTripMs);
    link.run(20 * roundTripMs + 500); // until it has found out
    link.longestQueueMs = 0;
    expect(link.run(1000) / bytesPerMs).toBeGreaterThan(0.95);
    const largestRunMs = Math.max(PIECE, link.estimate.windowBytes / 4) / bytesPerMs;
    expect(link.longestQueueMs).toBeLessThan(roundTripMs + 2 * largestRunMs);
    expect(link.estimate.windowBytes).toBeLessThan(2 * (bytesPerMs * roundTripMs + 2 * PIECE));
  });

  test('has filled a link of 20 ms and 100 MB/s after five round trips', () => {
    const link = new ModelLink(new LinkEstimate(64 * MIB), 100_000, 20);
    link.run(100);
    expect(link.estimate.windowBytes).toBeGreaterThan(100_000 * 20);
  });

  test('follows a link that becomes slower, and one that becomes faster', () => {
    const link = new ModelLink(new LinkEstimate(64 * MIB), 100_000, 20);
    link.run(1000);
    link.bytesPerMs = 20_000;
    link.run(2000);
    expect(link.estimate.windowBytes).toBeLessThan(MIB);
    link.bytesPerMs = 200_000;
    link.run(4000);
    expect(link.run(500)).toBeGreaterThan(190_000);
  });

  test('one small read at a time says nothing about what the link could bring', () => {
    const estimate = new LinkEstimate(64 * MIB);
    for (let nowMs = 0; nowMs < 10_000; nowMs += 21) {
      estimate.answered(20, nowMs + 20);
      estimate.arrived(PIECE, nowMs + 20);
      estimate.ranOut();
    }
    expect(estimate.windowBytes).toBe(MIB);
  });

  test('a window never exceeds its bound', () => {
    const link = new ModelLink(new LinkEstimate(2 * MIB), 1_000_000, 20);
    link.run(2000);
    expect(link.estimate.windowBytes).toBe(2 * MIB);
  });
});
