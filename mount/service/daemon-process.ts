/**
 * The process around a daemon: where its settings come from, how it reports, and how it ends.
 *
 * In the background, its supervisor (supervisor.ts) sends the order to serve over a pipe, and hears what becomes of it: the
 * connection with the kernel as soon as there is one, `ready` or the failure, `ended` when everything is flushed. In the
 * foreground the caller has the settings, and there is nobody to report to.
 *
 * Where another daemon can follow, an exception that nobody caught ends this one by SIGKILL: that loses nothing that was
 * acknowledged, and nobody can say what an orderly end would do then.
 *
 * At the end the process leaves by itself once nothing keeps it; what still does (a connection, a stuck worker) gets a moment,
 * then exit, and where exit could wait for a worker in a system call, SIGKILL: everything was flushed before.
 */
import type { Log } from '../../lib/util/log.js';
import type { Succession } from '../fuse/kernel-driver.js';
import { toWire } from './control-protocol.js';
import { serve, type DaemonEnd, type LiveMount } from './daemon.js';
import type { MountSettings } from './settings.js';
import { DEVICE_DESCRIPTOR, type ConnectedFacts, type DaemonReport, type ServeOrder } from './supervision.js';
import { SupervisorLink } from './supervisor-link.js';

/** How long open connections may keep an ended daemon alive. */
const LEAVE_MS = 500;
/** How long an end after an uncaught exception may take. */
const CRASH_END_MS = 30_000;

/** What the opener hands over once the mount answers. */
export interface OpenedMount {
  readonly live: LiveMount;
  readonly degraded: boolean;
  /** Whether another daemon can take over when this one dies. */
  readonly survivable: boolean;
  /** Address of the dashboard, with its token; null: there is none. */
  readonly dashboard: string | null;
  readonly log: Log & { close(): void };
}

/** What a daemon has of its supervisor. */
export interface Supervised {
  readonly supervisorPid: number;
  /** The descriptor of /dev/fuse that both hold; undefined when there is none. */
  readonly device: number | undefined;
  readonly connection: Succession['connection'];
  readonly resent: Succession['resent'];
  /** How the daemon before this one ended; null for the first. */
  readonly predecessor: string | null;
  report(report: DaemonReport): void;
  /** Gives it a copy of a device that it did not open; false: it could take none. */
  shareDevice(facts: ConnectedFacts & { readonly descriptor: number }): Promise<boolean>;
  /** Whether it is there to hear it. */
  isUp(): boolean;
  /** Has a successor loaded. IO: it could not be; all is as before. */
  prepareSuccessor(program: string): Promise<void>;
  /** Ends this process at once, for the next daemon to take over. */
  makeWay(): void;
}

/** Stacks the layers and mounts, or serves on what an earlier daemon has mounted. */
export type MountOpener = (settings: MountSettings, supervised: Supervised) => Promise<OpenedMount>;

/** The main function of a daemon in the background. Never rejects. */
export async function runDaemonProcess(open: MountOpener): Promise<void> {
  const link = new SupervisorLink();
  let opened: OpenedMount;
  try {
    const order = await link.serveOrder();
    opened = await open(order.settings, supervisedBy(order, link));
  } catch (error) {
    await link.tell({ kind: 'failed', error: toWire(error) });
    leave(1, 'kill');
    return;
  }
  const { live, degraded, survivable, dashboard, log } = opened;
  const { stateDirectory } = live.parts;
  await link.tell({
    kind: 'ready',
    outcome: { daemonPid: process.pid, stateDirectory, degraded, survivable, dashboard },
  });
  link.relax(() => {
    log.warn('The supervisor is gone: the mount goes on, and will end with this daemon.');
  });
  await runUntilEnd(opened, link);
}

/** Serves a mount in this process until it ends; then the process leaves with status 0, or 1 when something failed. */
export async function runUntilEnd(opened: OpenedMount, link?: SupervisorLink): Promise<void> {
  guard(opened, link);
  let end: DaemonEnd | undefined;
  try {
    const ending = serve(opened.live);
    link?.obeyEndOrders();
    end = await ending;
  } catch (error) {
    opened.log.error('The end of the mount failed.', { error });
  }
  opened.log.close();
  await link?.tell({ kind: 'ended' });
  leave(end?.clean === true ? 0 : 1, end?.reason.kind === 'unmounted' ? 'exit' : 'kill');
}

function supervisedBy(order: ServeOrder, link: SupervisorLink): Supervised {
  const { supervisorPid, hasDevice, connection, resent, predecessor } = order;
  return {
    supervisorPid,
    device: hasDevice ? DEVICE_DESCRIPTOR : undefined,
    connection,
    resent,
    predecessor,
    report: (report) => void link.tell(report),
    shareDevice: (facts) => link.shareDevice(facts),
    isUp: () => link.isUp,
    prepareSuccessor: (program) => link.prepareSuccessor(program),
    makeWay: () => process.kill(process.pid, 'SIGKILL'),
  };
}

/** One bad promise is logged; an exception that nobody caught leaves unknown state behind: this daemon ends. */
function guard({ live, log, survivable }: OpenedMount, link: SupervisorLink | undefined): void {
  process.on('unhandledRejection', (error) => {
    log.error('A failure was not handled.', { error });
  });
  process.on('uncaughtException', (error) => {
    if (survivable && link?.isUp === true) {
      log.error('An exception was not caught: the next daemon takes over.', { error });
      process.kill(process.pid, 'SIGKILL');
    }
    log.error('An exception was not caught: the mount ends.', { error });
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), CRASH_END_MS).unref();
    const { driver } = live.parts.stack;
    driver
      .unmount()
      .catch(() => driver.abort())
      .catch(() => process.kill(process.pid, 'SIGKILL'));
  });
}

function leave(status: 0 | 1, how: 'exit' | 'kill'): void {
  process.exitCode = status;
  if (process.connected) process.disconnect();
  setTimeout(() => {
    if (how === 'exit') process.exit();
    process.kill(process.pid, 'SIGKILL');
  }, LEAVE_MS).unref();
}
