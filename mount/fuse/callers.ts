/**
 * The callers of requests that are being handled, and what becomes of them when a signal comes.
 *
 * A data request must not fail with EINTR because of some signal (no disk does that); but a process that is being killed
 * must not hang for as long as the store is away. So a request goes on, and its caller is watched: once SIGKILL is pending
 * for it, its AbortSignal fires. Requests on control files fire at the first signal.
 *
 * Who is watched: the kernel sends INTERRUPT once, at the first signal of whatever kind, and does not tell when a deadly one
 * follows. For direct I/O it sends none at all, although the caller waits without being killable. So a request is watched
 * from its INTERRUPT on, or when it has waited for a second. A caller that is gone is left alone: a thread may end while
 * its asynchronous I/O goes on for others.
 *
 * Requests and their INTERRUPTs come through different workers, so an INTERRUPT may arrive first: the last ones without a
 * request are remembered. Unique numbers are never used twice.
 */
import { readFile } from 'node:fs/promises';
import type { Caller } from './file-system.js';
import type { RequestHeader } from './protocol/requests.js';

const POLL_MS = 100;
/** A request that was there at two of these ticks is watched. */
const TICK_MS = 500;
const REMEMBERED_INTERRUPTS = 1024;
/** SIGKILL in a mask of /proc/PID/status; deadly signals of other kinds reach each thread as this one. */
const KILL_BIT = 1n << 8n;

/** How a request reacts to signals of its caller. */
export type Interruptible = 'at-once' | 'when-killed';

class Pending implements Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  ticks = 0;
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
  private pollTimer: NodeJS.Timeout | undefined;
  private tickTimer: NodeJS.Timeout | undefined;

  /** `isDying` is a parameter for tests. */
  constructor(private readonly isDying: (pid: number) => Promise<boolean> = isBeingKilled) {}

  begin(header: RequestHeader, interruptible: Interruptible): Caller {
    const caller = new Pending(header, interruptible);
    this.pending.set(header.unique, caller);
    this.scheduleTick();
    if (this.early.delete(header.unique)) this.react(caller);
    return caller;
  }

  end(unique: bigint): void {
    const caller = this.pending.get(unique);
    if (caller === undefined) return;
    this.pending.delete(unique);
    this.watched.delete(caller);
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
    if (caller.interruptible === 'at-once') caller.fire();
    else this.watch(caller);
  }

  private watch(caller: Pending): void {
    // The kernel's own requests, and callers whose id we can't see, can't be watched.
    if (caller.pid === 0) return;
    this.watched.add(caller);
    this.schedulePoll();
  }

  private scheduleTick(): void {
    this.tickTimer ??= setTimeout(() => {
      this.tick();
    }, TICK_MS).unref();
  }

  private tick(): void {
    this.tickTimer = undefined;
    for (const caller of this.pending.values()) {
      caller.ticks++;
      if (caller.ticks === 2 && caller.interruptible === 'when-killed') this.watch(caller);
    }
    if (this.pending.size > 0) this.scheduleTick();
  }

  private schedulePoll(): void {
    this.pollTimer ??= setTimeout(() => void this.poll(), POLL_MS).unref();
  }

  private async poll(): Promise<void> {
    this.pollTimer = undefined;
    const callers = [...this.watched];
    const pids = [...new Set(callers.map((caller) => caller.pid))];
    const dying = new Set<number>();
    await Promise.all(
      pids.map(async (pid) => {
        if (await this.isDying(pid)) dying.add(pid);
      }),
    );
    for (const caller of callers) {
      if (!dying.has(caller.pid) || !this.watched.delete(caller)) continue;
      caller.fire();
    }
    if (this.watched.size > 0) this.schedulePoll();
  }
}

/** Whether the thread has a deadly signal pending. */
async function isBeingKilled(pid: number): Promise<boolean> {
  return hasDeadlySignal(await readFile(`/proc/${String(pid)}/status`, 'utf8').catch(() => ''));
}

/** Whether the text of /proc/PID/status says that SIGKILL is pending, for the thread or for its process. */
export function hasDeadlySignal(status: string): boolean {
  for (const match of status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)) {
    if ((BigInt(`0x${match[1]!}`) & KILL_BIT) !== 0n) return true;
  }
  return false;
}
