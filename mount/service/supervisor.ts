/**
 * The process that outlives the daemons of a mount: it holds /dev/fuse, so that the mount stays when a daemon dies, and
 * starts the next one.
 *
 * It knows neither images nor the protocol, loads nothing but Node's own modules, and is bundled apart (mount/bundle.js):
 * it stands between `lazydisk mount` and an open file. The device is opened and the first daemon started before the settings
 * have arrived; they, and what daemons report, are passed on unread (supervision.ts).
 *
 * A daemon that died is waited for (all its threads are gone then, and its locks), and followed as succession.ts decides.
 * Before the first daemon was ready there is nothing to save: its failure is the command's, and the supervisor ends. A mount
 * whose kernel can't send requests again (before Linux 6.9) dies with its daemon too, by the close of the device.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, openSync, writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { DaemonReport, EndOrder, LaunchReport, ServeOrder } from './supervision.js';
import { afterDeath, type Resent } from './succession.js';

/** Everything of an orderly end but the store's answer, which has a limit of its own, is faster. */
const ABANDONED_END_MS = 60_000;

/** Runs until the last daemon has ended; then the process ends. `program` is what a daemon runs. */
export function supervise(program: string): void {
  lowerOomScore();
  new Supervisor(program).start({ resent: 'serve', predecessor: null });
}

interface Start {
  readonly resent: Resent;
  readonly predecessor: string | null;
}

class Supervisor {
  private readonly device = openDevice();
  private settings: ServeOrder['settings'] | undefined;
  private connection: ServeOrder['connection'] = null;
  private log: string | undefined;
  private daemon: ChildProcess | undefined;
  /** Gives the living daemon its order, once the settings are here. */
  private order: ((settings: ServeOrder['settings']) => void) | undefined;
  private state: 'starting' | 'failed' | 'serving' | 'restarting' | 'ended' = 'starting';
  /** Asked to end, and no daemon was there to be told. */
  private endAsked = false;
  private quickDeaths = 0;
  /** Since when the living daemon serves. */
  private servedSinceMs: number | undefined;

  constructor(private program: string) {
    process.once('message', (settings: ServeOrder['settings']) => {
      this.settings = settings;
      this.order?.(settings);
    });
    process.once('disconnect', () => {
      if (this.state === 'starting') this.abandoned();
    });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        this.end();
      });
    }
    process.on('SIGHUP', () => undefined);
  }

  start({ resent, predecessor }: Start): void {
    const daemon = spawn(process.execPath, [this.program], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', this.device ?? 'ignore'],
    });
    this.daemon = daemon;
    let ended = false;
    this.order = (settings) => {
      const order: ServeOrder = {
        kind: 'serve',
        settings,
        hasDevice: this.device !== undefined,
        supervisorPid: process.pid,
        connection: this.connection,
        resent,
        predecessor,
      };
      // Its exit is told by another event.
      daemon.send(order, () => undefined);
      if (this.endAsked) this.end();
    };
    if (this.settings !== undefined) this.order(this.settings);
    daemon.on('message', (report: DaemonReport) => {
      if (report.kind === 'ended') ended = true;
      else this.heard(report);
    });
    let how = 'it could not be started';
    daemon.once('error', (error) => {
      how = `it could not be started: ${error.message}`;
      if (daemon.pid === undefined) this.died(how, false);
    });
    daemon.once('exit', (status, signal) => {
      how = signal ?? `exit status ${String(status)}`;
      // What it said before it ended may still be in the pipe: the pipe's end comes after it.
      if (daemon.connected)
        daemon.once('disconnect', () => {
          this.died(how, ended);
        });
      else this.died(how, ended);
    });
  }

  private heard(report: Exclude<DaemonReport, { kind: 'ended' }>): void {
    switch (report.kind) {
      case 'connected':
        this.connection = report.connection;
        this.log = report.log;
        return;
      case 'ready':
        if (this.state === 'starting') this.tell(report);
        this.state = 'serving';
        this.servedSinceMs = performance.now();
        return;
      case 'failed':
        // A successor's failure is in the log, and its end tells the rest.
        if (this.state !== 'starting') return;
        this.state = 'failed';
        this.tell(report);
        return;
      case 'restart':
        this.state = 'restarting';
        this.program = report.program;
        this.daemon?.kill('SIGKILL');
    }
  }

  private died(how: string, ended: boolean): void {
    this.daemon = undefined;
    this.order = undefined;
    if (ended) return this.leave(0);
    if (this.state === 'starting') this.tell({ kind: 'died', how });
    if (this.state === 'starting' || this.state === 'failed') return this.leave(1);
    if (this.connection?.negotiated.canResend !== true) {
      this.note('error', 'The daemon died, and this kernel can’t send requests again: the mount is given up.', { how });
      return this.leave(1);
    }
    const servedMs = this.servedSinceMs === undefined ? 0 : performance.now() - this.servedSinceMs;
    this.servedSinceMs = undefined;
    const next = afterDeath(this.quickDeaths, { servedMs, asked: this.state === 'restarting' });
    this.quickDeaths = next.quickDeaths;
    if (next.kind === 'give-up') {
      const times = next.quickDeaths;
      this.note('error', 'The daemon died again and again: the mount is given up.', { how, times });
      return this.leave(1);
    }
    const predecessor = this.state === 'restarting' ? 'it was restarted' : how;
    this.state = 'serving';
    setTimeout(() => {
      this.start({ resent: next.resent, predecessor });
    }, next.delayMs);
  }

  /** The command went away before the mount was ready: what comes up is taken down again. */
  private abandoned(): void {
    this.end();
    setTimeout(() => this.daemon?.kill('SIGKILL'), this.settings === undefined ? 0 : ABANDONED_END_MS);
  }

  private end(): void {
    this.endAsked = this.daemon === undefined || this.settings === undefined;
    if (!this.endAsked) this.daemon?.send({ kind: 'end' } satisfies EndOrder, () => undefined);
  }

  private tell(report: LaunchReport): void {
    if (!process.connected || process.send === undefined) return;
    process.send(report, undefined, {}, () => {
      if (process.connected) process.disconnect();
    });
  }

  /** A line in the daemons' log, which nobody has open now. */
  private note(level: string, message: string, facts: object): void {
    if (this.log === undefined) return;
    const line = JSON.stringify({ time: new Date().toISOString(), level, message, ...facts });
    try {
      appendFileSync(this.log, `${line}\n`, { mode: 0o600 });
    } catch {
      // No room for it: what happened shows all the same.
    }
  }

  private leave(status: number): void {
    this.state = 'ended';
    process.exitCode = status;
    // Nothing is left to do but to say the last message; signals are no longer awaited.
    if (!process.connected) process.exit();
    process.once('disconnect', () => process.exit());
  }
}

/** undefined: the daemon will say why not. */
function openDevice(): number | undefined {
  try {
    return openSync('/dev/fuse', 'r+');
  } catch {
    return undefined;
  }
}

/** Daemons inherit it; they say in the log where it is not permitted. */
function lowerOomScore(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000');
  } catch {
    // As said.
  }
}
