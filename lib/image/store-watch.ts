/**
 * Whether the store is away, asked when a request to it went unanswered: guests that have their disks open list nothing, so without
 * a question of its own a mount would call itself well through a whole outage, and away long after it.
 *
 * A doubt is one question; while the store does not answer, one more every 15 s. Nothing is asked of a store that answers, so an
 * idle mount stays silent, and requests that fail one by one beside an answering store (one bad object) ask no more often than that.
 */
import { setTimeout as delay } from 'node:timers/promises';

export const WATCH_INTERVAL_MS = 15_000;

export interface StoreWatchParts {
  /** Asks the store. Never rejects; `isAway` tells what came of it. */
  readonly ask: () => Promise<void>;
  readonly isAway: () => boolean;
  /** Fires when there is nobody left to tell. */
  readonly closing: AbortSignal;
  /** Milliseconds that only grow, and how they pass; for tests. `wait` resolves at once when the signal fires. */
  readonly now?: () => number;
  readonly wait?: (waitMs: number, signal: AbortSignal) => Promise<void>;
}

export class StoreWatch {
  private readonly now: () => number;
  private readonly wait: (waitMs: number, signal: AbortSignal) => Promise<void>;
  private watching = false;
  private askedMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly parts: StoreWatchParts) {
    this.now = parts.now ?? (() => performance.now());
    this.wait = parts.wait ?? unlessAborted;
  }

  /** A request went unanswered. Returns at once. */
  doubt(): void {
    if (this.watching || this.parts.closing.aborted) return;
    this.watching = true;
    void this.watch();
  }

  /** Somebody else has asked, and got no answer. */
  foundAway(): void {
    if (!this.watching) this.askedMs = this.now();
    this.doubt();
  }

  private async watch(): Promise<void> {
    const { ask, isAway, closing } = this.parts;
    do {
      const waitMs = this.askedMs + WATCH_INTERVAL_MS - this.now();
      if (waitMs > 0) await this.wait(waitMs, closing);
      if (closing.aborted) break;
      this.askedMs = this.now();
      await ask();
    } while (isAway());
    this.watching = false;
  }
}

async function unlessAborted(waitMs: number, signal: AbortSignal): Promise<void> {
  await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
}
