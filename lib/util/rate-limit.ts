/**
 * A rate in bytes: who takes goes on until what was taken is paid for. Pure but for its account; times come as arguments.
 *
 * What is asked for is taken whole, and the account may go below zero: the next one waits until the rate has made up for it.
 * Nothing is saved up for longer than a tenth of a second, so a rate is kept over any time that matters.
 */
const SAVED_MS = 100;

export class RateLimit {
  private balanceBytes = 0;
  private lastMs = Number.NEGATIVE_INFINITY;

  /** null: no limit. */
  constructor(private readonly bytesPerSecond: number | null) {}

  take(sizeBytes: number, nowMs: number): void {
    this.settle(nowMs);
    this.balanceBytes -= sizeBytes;
  }

  /** Milliseconds until something may be taken; 0: now. */
  waitMs(nowMs: number): number {
    if (this.bytesPerSecond === null) return 0;
    this.settle(nowMs);
    return this.balanceBytes >= 0 ? 0 : Math.ceil((-this.balanceBytes / this.bytesPerSecond) * 1000);
  }

  private settle(nowMs: number): void {
    if (this.bytesPerSecond === null) return;
    const elapsedMs = Math.min(nowMs - this.lastMs, Number.MAX_SAFE_INTEGER);
    this.lastMs = nowMs;
    const savedBytes = (this.bytesPerSecond * SAVED_MS) / 1000;
    this.balanceBytes = Math.min(savedBytes, this.balanceBytes + (this.bytesPerSecond * elapsedMs) / 1000);
  }
}
