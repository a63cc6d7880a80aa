/** A clock that a test moves: timers fire in order of their time, and the code they wake runs before the next one. */
import type { Clock } from '../../lib/store/clock.js';

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  private currentMs = 0;
  private readonly timers = new Set<Timer>();

  nowMs(): number {
    return this.currentMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.currentMs + delayMs, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  get pendingTimers(): number {
    return this.timers.size;
  }

  /** Moves time from timer to timer until the promise has settled; rejects as it does. */
  async runUntilSettled<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    promise.then(settle, settle);
    for (;;) {
      await turnsOfTheEventLoop();
      if (settled) return promise;
      if (!this.fireNext()) throw new Error('nothing is due, and the promise has not settled');
    }
  }

  /** Moves time to the next timer and fires it; false when there is none. */
  fireNext(): boolean {
    let next: Timer | undefined;
    for (const timer of this.timers) if (next === undefined || timer.atMs < next.atMs) next = timer;
    if (next === undefined) return false;
    this.timers.delete(next);
    this.currentMs = Math.max(this.currentMs, next.atMs);
    next.callback();
    return true;
  }
}

/** Enough turns for what was woken to run: the stores under test answer within a few. */
async function turnsOfTheEventLoop(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
