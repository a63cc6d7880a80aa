/**
 * Requests in flight: each is performed under a deadline of ours and ends with exactly one result.
 *
 * libfuse 2 tells neither who asks nor that a caller was interrupted, so the deadline is what keeps a caller from waiting for
 * ever: a bit longer than the store is waited for, so that the store's own error comes first. What must not end early
 * (commands, syncing) has none.
 */
import { LazydiskError, messageOf } from '../../../lib/util/errors.js';
import { answerTo, errnoNumber } from '../errno.js';
import type { Caller } from '../file-system.js';
import type { TroubleLog } from '../trouble-log.js';
import type { Result } from './module.js';

export type Patience = 'deadline' | 'as-long-as-it-takes';

/** What became of a request: a value, or an errno as a negative number. */
export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly result: Result };

export class Requests {
  private readonly inFlight = new Set<AbortController>();
  /** Since the start. */
  count = 0;

  constructor(
    /** 0: no deadline. */
    private readonly deadlineMs: number,
    private readonly trouble: TroubleLog,
  ) {}

  /** Never rejects. */
  async perform<T>(name: string, patience: Patience, work: (caller: Caller) => Promise<T>): Promise<Outcome<T>> {
    const controller = new AbortController();
    const caller: Caller = { uid: 0, gid: 0, pid: 0, signal: controller.signal };
    this.inFlight.add(controller);
    this.count++;
    let timer: NodeJS.Timeout | undefined;
    try {
      const working = work(caller);
      if (patience === 'as-long-as-it-takes' || this.deadlineMs === 0) return { ok: true, value: await working };
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          reject(new LazydiskError('IO', `nothing came of it in ${String(this.deadlineMs)} ms`));
          controller.abort();
        }, this.deadlineMs);
      });
      return { ok: true, value: await Promise.race([working, late]) };
    } catch (error) {
      return { ok: false, result: this.failure(name, error) };
    } finally {
      clearTimeout(timer);
      this.inFlight.delete(controller);
    }
  }

  /** The mount is gone, and with it everybody who waits. */
  abandon(): void {
    for (const controller of this.inFlight) controller.abort();
  }

  private failure(name: string, error: unknown): Result {
    const { name: errno, errno: number, worthLogging } = answerTo(error);
    if (worthLogging) {
      this.trouble.report(`fuse-native: ${name} failed with ${errno}: ${messageOf(error)}`, {
        stack: (error as { stack?: unknown } | null | undefined)?.stack,
      });
    }
    return -(number === 0 ? errnoNumber('EIO') : number);
  }
}
