/**
 * What goes wrong with requests, as an operator wants to read it: one line a second at most (or whatever the interval), however many
 * requests it meets, and how many were left out before it. So an outage of hours does not push everything else out of the log.
 */
import type { Log } from '../../lib/util/log.js';

const DEFAULT_INTERVAL_MS = 1000;

export class TroubleLog {
  private lastLoggedMs = -Infinity;
  private unlogged = 0;

  constructor(
    private readonly log: Log,
    private readonly level: 'warn' | 'error' = 'error',
    private readonly intervalMs = DEFAULT_INTERVAL_MS,
  ) {}

  /** Logs, unless something was logged just now. */
  report(message: string, facts: Readonly<Record<string, unknown>> = {}): void {
    const nowMs = performance.now();
    if (nowMs - this.lastLoggedMs < this.intervalMs) {
      this.unlogged++;
      return;
    }
    this.log[this.level](message, this.unlogged === 0 ? facts : { ...facts, othersNotLogged: this.unlogged });
    this.lastLoggedMs = nowMs;
    this.unlogged = 0;
  }
}
