/** Time as the decorators see it, passed in so that a test can run minutes of backoff in no time. */
export interface Clock {
  /** Milliseconds from any fixed point; never goes back. */
  nowMs(): number;
  /** Calls `callback` once after `delayMs`; the returned function prevents it. */
  after(delayMs: number, callback: () => void): () => void;
}

// setTimeout takes no more, and would fire at once: 24 days.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The time of this host. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(delayMs, LONGEST_TIMER_MS));
    return () => clearTimeout(timer);
  },
};
