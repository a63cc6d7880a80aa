/**
 * How long the reads took that had to wait, since the last look: counted by steps of a quarter, so that any number of them
 * costs the same. What it tells is right within that step.
 */

const STEP = 1.25;
/** The first step ends here, milliseconds; the last one begins at about an hour. */
const FIRST_MS = 0.1;
const STEPS = 80;

export interface TakenTimes {
  readonly count: number;
  readonly medianMs: number | null;
  /** All but one in a hundred took less. */
  readonly mostMs: number | null;
}

export class ReadTimes {
  private readonly counts = new Uint32Array(STEPS);
  private count = 0;

  /** A read has ended. */
  add(durationMs: number): void {
    const step = Math.ceil(Math.log(Math.max(durationMs, FIRST_MS) / FIRST_MS) / Math.log(STEP));
    this.counts[Math.min(step, STEPS - 1)]!++;
    this.count++;
  }

  /** What came since the last call. */
  take(): TakenTimes {
    const { count } = this;
    const taken = { count, medianMs: this.quantile(0.5), mostMs: this.quantile(0.99) };
    this.counts.fill(0);
    this.count = 0;
    return taken;
  }

  private quantile(share: number): number | null {
    if (this.count === 0) return null;
    const rank = Math.ceil(share * this.count);
    let passed = 0;
    for (const [step, count] of this.counts.entries()) {
      passed += count;
      if (passed >= rank) return FIRST_MS * STEP ** step;
    }
    return null;
  }
}
