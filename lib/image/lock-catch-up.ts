/**
 * Brings `writer.json` up to date with the base that its head stands on, in the background.
 *
 * A kill, or a store that goes away, between a change of the base and that of the lock leaves a lock that names the base before:
 * `delete` on another host would then refuse that one, and take away the snapshot that this head stands on. So a head that is
 * opened with its lock looks at it once, and nobody waits for that; while the store is away it looks again, after growing pauses.
 * A lock that is not ours any more stays as it is.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { WriterClaim } from './writer-claim.js';

/** The first pause, and the longest: milliseconds. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

export class LockCatchUp {
  private readonly stopping = new AbortController();
  private isRunning = false;

  constructor(private readonly claim: WriterClaim) {}

  /** Begins, unless it has. */
  start(): void {
    if (this.isRunning || this.stopping.signal.aborted) return;
    this.isRunning = true;
    void this.run().finally(() => {
      this.isRunning = false;
    });
  }

  /** For ever. A put that is under way is not taken back: it says what is true. */
  stop(): void {
    this.stopping.abort();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let pauseMs = FIRST_PAUSE_MS;
    while ((await this.claim.correct(signal)) === 'away' && !signal.aborted) {
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }
}
