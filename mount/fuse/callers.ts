/**
 * The callers of requests that are being handled, and what becomes of them when a signal comes.
 *
 * The kernel sends INTERRUPT once, at the first signal of whatever kind, and then waits for the answer; it does not tell
 * when a deadly signal follows. A data request must not fail with EINTR because of some signal (no disk does that), so an
 * interrupted one goes on, and only then is the caller watched: once it is being killed, its AbortSignal fires. Requests on
 * control files fire at once.
 *
 * Requests and their INTERRUPTs come through different workers, so an INTERRUPT may arrive first: the last ones without a
 * request are remembered. Unique numbers are never used twice.
 */
import { readFile } from 'node:fs/promises';
import { errnoOf } from '../../lib/util/errors.js';
import type { Caller } from './file-system.js';
import type { RequestHeader } from './protocol/requests.js';

const POLL_MS = 100;
const REMEMBERED_INTERRUPTS = 1024;
/** SIGKILL in a mask of /proc/PID/status; deadly signals of other kinds reach each thread as this one. */
const KILL_BIT = 1n << 8n;

/** How a request reacts to signals of its caller. */
export type Interruptible = 'at-once' | 'when-killed';

class Pending implements Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Made when somebody asks: most requests are answered without. */
  private controller: AbortController | undefined;

  constructor(
    header: RequestHeader,
    readonly interruptible: Interruptible,
  ) {
    this.uid = header.uid;
    this.gid = header.gid;
    this.pid = header.pid;
  }

  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    return this.controller.signal;
  }

  fire(): void {
    this.controller ??= new AbortController();
    this.controller.abort();
  }
}

export class Callers {
  private readonly pending = new Map<bigint, Pending>();
  private readonly watched = new Set<Pending>();
  private readonly early = new Set<bigint>();
  private timer: NodeJS.Timeout | undefined;

  /** `isDying` is a parameter for tests. */
  constructor(private readonly isDying: (pid: number) => Promise<boolean> = isBeingKilled) {}

  begin(header: RequestHeader, interruptible: Interruptible): Caller {
    const caller = new Pending(header, interruptible);
    this.pending.set(header.unique, caller);
    if (this.early.delete(header.unique)) this.react(caller);
    return caller;
  }

  end(unique: bigint): void {
    const caller = this.pending.get(unique);
    if (caller === undefined) return;
    this.pending.delete(unique);
    this.unwatch(caller);
  }

  interrupt(unique: bigint): void {
    const caller = this.pending.get(unique);
    if (caller !== undefined) {
      this.react(caller);
      return;
    }
    this.early.add(unique);
    if (this.early.size > REMEMBERED_INTERRUPTS) {
      for (const oldest of this.early) {
        this.early.delete(oldest);
        break;
      }
    }
  }

  /** The connection is gone, and with it everybody who waits. */
  fireAll(): void {
    for (const caller of this.pending.values()) caller.fire();
  }

  private react(caller: Pending): void {
    if (caller.interruptible === 'at-once') {
      caller.fire();
      return;
    }
    // The kernel's own requests, and callers whose id we can't see, can't be watched.
    if (caller.pid === 0) return;
    this.watched.add(caller);
    this.schedule();
  }

  private unwatch(caller: Pending): void {
    if (!this.watched.delete(caller) || this.watched.size > 0) return;
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private schedule(): void {
    this.timer ??= setTimeout(() => void this.poll(), POLL_MS).unref();
  }

  private async poll(): Promise<void> {
    this.timer = undefined;
    await Promise.all(
      [...this.watched].map(async (caller) => {
        if (!(await this.isDying(caller.pid))) return;
        this.watched.delete(caller);
        caller.fire();
      }),
    );
    if (this.watched.size > 0) this.schedule();
  }
}

/** Whether the thread has a deadly signal pending, or is gone. */
async function isBeingKilled(pid: number): Promise<boolean> {
  let status: string;
  try {
    status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  } catch (error) {
    return errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH';
  }
  return hasDeadlySignal(status);
}

/** Whether the text of /proc/PID/status says that SIGKILL is pending, for the thread or for its process. */
export function hasDeadlySignal(status: string): boolean {
  for (const match of status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)) {
    if ((BigInt(`0x${match[1]!}`) & KILL_BIT) !== 0n) return true;
  }
  return false;
}
