/**
 * The process that outlives the daemons of a mount: it holds /dev/fuse, so that the mount stays when a daemon dies, and
 * starts the next one.
 *
 * It knows neither images nor the protocol, loads nothing but Node's own modules, and is bundled apart (mount/bundle.js):
 * it stands between `lazydisk mount` and an open file. The device is opened and the first daemon started before the settings
 * have arrived; they, and what daemons report, are passed on unread (supervision.ts).
 *
 * A daemon that died is waited for (all its threads are gone then, and its locks), and followed as succession.ts decides.
 * A restart loads the successor first, and ends the daemon only when that waits to serve; a program that then fails to serve all the
 * same is followed by the one that did.
 *
 * A user who is not root can't mount with a device of his own: fusermount3 gives one to the daemon, and the supervisor takes a copy of it
 * then. Only for that it loads koffi, when the mount is there.
 *
 * Before the first daemon was ready there is nothing to save: its failure is the command's, and the supervisor ends. A mount
 * whose kernel can't send requests again (before Linux 6.9) dies with its daemon too, by the close of the device.
 */
import { appendFileSync, openSync, writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { DaemonChild, type DaemonDeath, type DaemonEvents, type LiveReport } from './daemon-child.js';
import type { LaunchReport, ServeOrder } from './supervision.js';
import { afterDeath, NO_LINEAGE } from './succession.js';

/** Everything of an orderly end but the store's answer, which has a limit of its own, is faster. */
const ABANDONED_END_MS = 60_000;
/** A daemon loads itself within a second, and the one that it is to replace answers at once. */
const SUCCESSOR_MS = 20_000;

/** Runs until the last daemon has ended; then the process ends. `program` is what a daemon runs. */
export function supervise(program: string): void {
  lowerOomScore();
  new Supervisor(program).start();
}

/** What a daemon is told of the one before it. */
type Circumstances = Pick<ServeOrder, 'resent' | 'predecessor'>;

const FIRST: Circumstances = { resent: 'serve', predecessor: null };

class Supervisor implements DaemonEvents {
  private device = openDevice();
  private settings: ServeOrder['settings'] | undefined;
  private connection: ServeOrder['connection'] = null;
  private log: string | undefined;
  private daemon: DaemonChild | undefined;
  /** Loads itself, or waits, while the daemon serves. */
  private successor: { readonly daemon: DaemonChild; readonly deadline: NodeJS.Timeout } | undefined;
  private circumstances = FIRST;
  private state: 'starting' | 'failed' | 'serving' | 'restarting' | 'ended' = 'starting';
  /** Asked to end, and no daemon was there to be told. */
  private endAsked = false;
  private lineage = NO_LINEAGE;
  /** The living daemon has said why it can't begin. */
  private couldNotBegin = false;
  /** Since when the living daemon serves. */
  private servedSinceMs: number | undefined;

  /** `program`: of the daemon that served last; the first one's until then. */
  constructor(private program: string) {
    process.once('message', (settings: ServeOrder['settings']) => {
      this.settings = settings;
      this.order();
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

  /** The first daemon loads itself while the settings are on their way. */
  start(): void {
    this.install(new DaemonChild(this.program, this.device, this), FIRST);
  }

  heard(daemon: DaemonChild, report: LiveReport): void {
    if (daemon === this.successor?.daemon) {
      if (report.kind === 'waiting') this.daemon?.tell({ kind: 'successor', failure: null });
      return;
    }
    switch (report.kind) {
      case 'connected':
        this.connection = report.connection;
        this.log = report.log;
        // A daemon of an earlier version says nothing of it, and has none of its own.
        if (typeof report.descriptor === 'number') void this.copyDevice(daemon, report.descriptor);
        return;
      case 'ready':
        if (this.state === 'starting') this.tell(report);
        this.state = 'serving';
        this.program = daemon.program;
        this.servedSinceMs = performance.now();
        return;
      case 'failed':
        // A later one's failure is in the log, and its end tells the rest.
        this.couldNotBegin = true;
        if (this.state !== 'starting') return;
        this.state = 'failed';
        this.tell(report);
        return;
      case 'restart':
        this.prepare(report.program);
        return;
      case 'make-way':
        if (this.successor?.daemon.isLoaded !== true) return;
        this.state = 'restarting';
        daemon.kill();
        return;
      case 'stay':
        this.dismiss();
        return;
      case 'waiting':
        // It has its order, or gets it with the settings.
        return;
    }
  }

  died(daemon: DaemonChild, { how, ended }: DaemonDeath): void {
    if (daemon === this.successor?.daemon) {
      this.dismiss();
      this.daemon?.tell({ kind: 'successor', failure: how });
      return;
    }
    // One that was dismissed.
    if (daemon !== this.daemon) return;
    this.daemon = undefined;
    if (ended) return this.leave(0);
    if (this.state === 'starting') this.tell({ kind: 'died', how });
    if (this.state === 'starting' || this.state === 'failed') return this.leave(1);
    if (this.connection?.negotiated.canResend !== true) {
      this.note('The daemon died, and this kernel can’t send requests again: the mount is given up.', { how });
      return this.leave(1);
    }
    if (this.device === undefined) {
      this.note('The daemon died, and the device with it: the mount is given up.', { how });
      return this.leave(1);
    }
    const servedMs = this.servedSinceMs === undefined ? 0 : performance.now() - this.servedSinceMs;
    this.servedSinceMs = undefined;
    // A program that has never served is no match for the one that has.
    const isMisfit = daemon.program !== this.program;
    if (isMisfit) {
      const { program } = daemon;
      this.note('The program of a restart could not serve: the one before it goes on.', { program, how });
    }
    const asked = this.state === 'restarting' || isMisfit;
    const next = afterDeath(this.lineage, { servedMs, asked, couldNotBegin: this.couldNotBegin });
    this.lineage = next.lineage;
    this.couldNotBegin = false;
    if (next.kind === 'give-up') {
      this.note('The daemon died again and again: the mount is given up.', { how, ...next.lineage });
      return this.leave(1);
    }
    const predecessor = this.state === 'restarting' ? 'it was restarted' : how;
    const { resent } = next;
    this.state = 'serving';
    setTimeout(() => {
      this.follow({ resent, predecessor });
    }, next.delayMs);
  }

  /** The device of a user who is not root comes with the mount, to the daemon. */
  private async copyDevice(daemon: DaemonChild, descriptor: number): Promise<void> {
    try {
      const { copyDescriptor } = await import('../../lib/util/descriptors.js');
      this.device = copyDescriptor(daemon.pid, descriptor);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.note('The device can’t be held beside the daemon: the mount will end with it.', { reason });
    }
    daemon.tell({ kind: 'device', isHeld: this.device !== undefined });
  }

  /** The successor takes its place if one waits, else another daemon of the program that served last. */
  private follow(circumstances: Circumstances): void {
    const waiting = this.successor?.daemon.isLoaded === true ? this.successor.daemon : undefined;
    if (waiting === undefined) this.dismiss();
    else this.release();
    this.install(waiting ?? new DaemonChild(this.program, this.device, this), circumstances);
  }

  private install(daemon: DaemonChild, circumstances: Circumstances): void {
    this.daemon = daemon;
    this.circumstances = circumstances;
    this.order();
  }

  private order(): void {
    const { daemon, settings } = this;
    if (daemon === undefined || settings === undefined) return;
    daemon.tell({
      kind: 'serve',
      settings,
      hasDevice: this.device !== undefined,
      supervisorPid: process.pid,
      connection: this.connection,
      ...this.circumstances,
    });
    if (this.endAsked) this.end();
  }

  private prepare(program: string): void {
    this.dismiss();
    const daemon = new DaemonChild(program, this.device, this);
    const deadline = setTimeout(() => {
      daemon.kill();
    }, SUCCESSOR_MS);
    this.successor = { daemon, deadline };
  }

  /** The successor is no successor any more, and lives. */
  private release(): void {
    clearTimeout(this.successor?.deadline);
    this.successor = undefined;
  }

  private dismiss(): void {
    const daemon = this.successor?.daemon;
    this.release();
    daemon?.kill();
  }

  /** The command went away before the mount was ready: what comes up is taken down again. */
  private abandoned(): void {
    this.end();
    setTimeout(() => this.daemon?.kill(), this.settings === undefined ? 0 : ABANDONED_END_MS);
  }

  private end(): void {
    this.endAsked = this.daemon === undefined || this.settings === undefined;
    if (!this.endAsked) this.daemon?.tell({ kind: 'end' });
  }

  private tell(report: LaunchReport): void {
    if (!process.connected || process.send === undefined) return;
    process.send(report, undefined, {}, () => {
      if (process.connected) process.disconnect();
    });
  }

  /** A line in the daemons' log, which nobody has open now. */
  private note(message: string, facts: object): void {
    if (this.log === undefined) return;
    const line = JSON.stringify({ time: new Date().toISOString(), level: 'error', message, ...facts });
    try {
      appendFileSync(this.log, `${line}\n`, { mode: 0o600 });
    } catch {
      // No room for it: what happened shows all the same.
    }
  }

  private leave(status: number): void {
    this.state = 'ended';
    this.dismiss();
    process.exitCode = status;
    // Nothing is left to do but to say the last message; signals are no longer awaited.
    if (!process.connected) process.exit();
    process.once('disconnect', () => process.exit());
  }
}

/** undefined: the daemon will say why not, or brings one of its own. */
function openDevice(): number | undefined {
  if (process.geteuid?.() !== 0) return undefined;
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
