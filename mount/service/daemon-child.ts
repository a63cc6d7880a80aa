/**
 * A daemon as its supervisor sees it: a process that loads itself, says that it waits, is given the order to serve, and ends.
 *
 * A successor is loaded while the daemon before it serves still, so that a program that can't even be loaded costs nobody
 * anything. Only Node's own modules: see supervisor.ts.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { DaemonReport, ServeOrder, SupervisorWord } from './supervision.js';

/** How a daemon ended. */
export interface DaemonDeath {
  /** By which signal, with which exit status, or why it was never there. */
  readonly how: string;
  /** It has said that the mount is gone and everything flushed. */
  readonly ended: boolean;
}

/** What a daemon says while it lives on. */
export type LiveReport = Exclude<DaemonReport, { kind: 'ended' }>;

export interface DaemonEvents {
  heard(daemon: DaemonChild, report: LiveReport): void;
  /** Once; nothing of it runs any more. */
  died(daemon: DaemonChild, death: DaemonDeath): void;
}

export class DaemonChild {
  private readonly child: ChildProcess;
  private hasWaited = false;

  /** `device` becomes DEVICE_DESCRIPTOR in it; undefined: there is none. */
  constructor(
    readonly program: string,
    device: number | undefined,
    events: DaemonEvents,
  ) {
    const child = spawn(process.execPath, [program], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', device ?? 'ignore'],
    });
    this.child = child;
    let ended = false;
    let how = 'it could not be started';
    const died = (): void => {
      events.died(this, { how, ended });
    };
    child.on('message', (report: DaemonReport) => {
      if (report.kind === 'waiting') this.hasWaited = true;
      if (report.kind === 'ended') ended = true;
      else events.heard(this, report);
    });
    child.once('error', (error) => {
      how = `it could not be started: ${error.message}`;
      if (child.pid === undefined) died();
    });
    child.once('exit', (status, signal) => {
      how = signal ?? `exit status ${String(status)}`;
      // What it said before it ended may still be in the pipe: the pipe's end comes after it.
      if (child.connected) child.once('disconnect', died);
      else died();
    });
  }

  /** -1: it could not be started. */
  get pid(): number {
    return this.child.pid ?? -1;
  }

  /** Whether it has loaded itself: it serves at once when it is told to. */
  get isLoaded(): boolean {
    return this.hasWaited;
  }

  /** Its exit is told by another event. */
  tell(word: ServeOrder | SupervisorWord): void {
    this.child.send(word, () => undefined);
  }

  /** At once (SIGKILL). */
  kill(): void {
    this.child.kill('SIGKILL');
  }
}
