/**
 * The process around a daemon: where its settings come from, how it reports, and how it ends.
 *
 * In the background, settings come over the pipe from the starter (launch.ts), to which `ready` or the failure goes back;
 * a starter that went away before that takes the mount down again. In the foreground the caller has the settings. At the
 * end the process leaves by itself once nothing keeps it; what still does (a connection, a stuck worker) gets a moment, then
 * exit, and where exit could wait for a worker in a system call, SIGKILL: everything was flushed before.
 */
import { LazydiskError } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { toWire } from './control-protocol.js';
import { serve, type DaemonEnd, type LiveMount } from './daemon.js';
import type { LaunchMessage } from './launch.js';
import { mountSettingsSchema, type MountSettings } from './settings.js';

/** How long open connections may keep an ended daemon alive. */
const LEAVE_MS = 500;
/** How long an end after an uncaught exception may take. */
const CRASH_END_MS = 30_000;

/** What the opener hands over once the mount answers. */
export interface OpenedMount {
  readonly live: LiveMount;
  readonly degraded: boolean;
  readonly log: Log & { close(): void };
}

/** Stacks the layers and mounts. */
export type MountOpener = (settings: MountSettings) => Promise<OpenedMount>;

/** The main function of a daemon in the background. Never rejects. */
export async function runDaemonProcess(open: MountOpener): Promise<void> {
  let opened: OpenedMount;
  try {
    const settings = await receiveSettings();
    opened = await open(settings);
  } catch (error) {
    await tell({ kind: 'failed', error: toWire(error) });
    leave(1, 'kill');
    return;
  }
  const { live, degraded } = opened;
  const stateDirectory = live.parts.stateDirectory;
  const heard = await tell({ kind: 'ready', outcome: { daemonPid: process.pid, stateDirectory, degraded } });
  if (process.connected) process.disconnect();
  if (!heard) {
    opened.log.warn('The starter went away before the mount was ready: it is taken down.');
    await live.parts.stack.driver.unmount().catch(() => live.parts.stack.driver.abort());
  }
  await runUntilEnd(opened);
}

/** Serves a mount in this process until it ends; then the process leaves with status 0, or 1 when something failed. */
export async function runUntilEnd(opened: OpenedMount): Promise<void> {
  guard(opened);
  let end: DaemonEnd | undefined;
  try {
    end = await serve(opened.live);
  } catch (error) {
    opened.log.error('The end of the mount failed.', { error });
  }
  opened.log.close();
  leave(end?.clean === true ? 0 : 1, end?.reason.kind === 'unmounted' ? 'exit' : 'kill');
}

/** One bad promise is logged; an exception that nobody caught leaves unknown state behind: the mount ends in order. */
function guard({ live, log }: OpenedMount): void {
  process.on('unhandledRejection', (error) => {
    log.error('A failure was not handled.', { error });
  });
  process.on('uncaughtException', (error) => {
    log.error('An exception was not caught: the mount ends.', { error });
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), CRASH_END_MS).unref();
    const { driver } = live.parts.stack;
    driver
      .unmount()
      .catch(() => driver.abort())
      .catch(() => process.kill(process.pid, 'SIGKILL'));
  });
}

function receiveSettings(): Promise<MountSettings> {
  return new Promise((resolve, reject) => {
    if (!process.connected) {
      reject(new LazydiskError('USAGE', 'The daemon is started by `lazydisk mount`, not by hand.'));
      return;
    }
    process.once('message', (message) => {
      const parsed = mountSettingsSchema.safeParse(message);
      if (parsed.success) resolve(parsed.data);
      else reject(new LazydiskError('USAGE', `The settings of the mount are wrong: ${parsed.error.message}`));
    });
    process.once('disconnect', () => {
      reject(new LazydiskError('ABORTED', 'The starter went away.'));
    });
  });
}

/** Whether the starter got the message. */
function tell(message: LaunchMessage): Promise<boolean> {
  return new Promise((resolve) => {
    if (!process.connected || process.send === undefined) resolve(false);
    else {
      process.send(message, undefined, {}, (error) => {
        resolve(error === null);
      });
    }
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
