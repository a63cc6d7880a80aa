/**
 * What goes wrong with requests, as an operator wants to read it: one line a second at most, however many requests it meets, and
 * how many were left out before it.
 */
import type { Log } from '../../lib/util/log.js';

const LOG_INTERVAL_MS = 1000;

export class TroubleLog {
  private lastLoggedMs = -Infinity;
  private unlogged = 0;

  constructor(
    private readonly log: Log,
    private readonly level: 'warn' | 'error' = 'error',
  ) {}

  /** Logs, unless something was logged just now. */
  report(message: string, facts: Readonly<Record<string, unknown>> = {}): void {
    const nowMs = performance.now();
    if (nowMs - this.lastLoggedMs < LOG_INTERVAL_MS) {
      this.unlogged++;
      return;
    }
    this.log[this.level](message, this.unlogged === 0 ? facts : { ...facts, othersNotLogged: this.unlogged });
    this.lastLoggedMs = nowMs;
    this.unlogged = 0;
  }
}
