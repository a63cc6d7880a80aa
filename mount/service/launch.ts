/**
 * Starts a daemon and waits until its mount answers.
 *
 * The daemon is a process of its own session, with no terminal and `/` as its folder. Settings go to it, and its outcome
 * comes back, over a pipe (IPC); a failure travels whole, so that `mount` ends with the same sentence as in the foreground.
 * What the daemon writes to stderr (only what Node itself says when it crashes) goes to a file beside the registry. Once the
 * daemon is ready, the starter itself makes the first lookup on the mount, and only then says that it is mounted.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as z from 'zod';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import { fromWire, type WireError } from './control-protocol.js';
import { removeIfEmpty } from './registry.js';
import type { MountSettings } from './settings.js';

/** Threads for blocking calls of the daemon's main thread: fdatasync of many guests must not hold up each other. */
export const THREAD_POOL_SIZE = '16';

/** Opening the store, waiting for a dying daemon's lock, and mounting all have shorter limits of their own. */
const LAUNCH_DEADLINE_MS = 180_000;

/** What a daemon tells its starter. */
export type LaunchMessage =
  { readonly kind: 'ready'; readonly outcome: LaunchOutcome } | { readonly kind: 'failed'; readonly error: WireError };

export interface LaunchOutcome {
  readonly daemonPid: number;
  readonly stateDirectory: string;
  /** True when the store did not answer: what is local works. */
  readonly degraded: boolean;
}

const messageSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('ready'),
    outcome: z.object({ daemonPid: z.int(), stateDirectory: z.string(), degraded: z.boolean() }),
  }),
  z.object({ kind: z.literal('failed'), error: z.unknown() }),
]);

export interface LaunchOptions {
  /** The module that the daemon runs: it calls runDaemonProcess. */
  readonly program: string;
  /** File for what Node writes when the daemon crashes; replaced at each start. */
  readonly errorFile: string;
  readonly environment?: NodeJS.ProcessEnv;
  readonly deadlineMs?: number;
}

/** Resolves when the mount answers; rejects with what the daemon said, or how it ended. */
export async function launch(settings: MountSettings, options: LaunchOptions): Promise<LaunchOutcome> {
  const child = start(options);
  try {
    const outcome = await outcomeOf(child, settings, options);
    await firstLookup(settings.mountpoint);
    return outcome;
  } catch (error) {
    await removeIfEmpty(options.errorFile);
    throw error;
  } finally {
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function start({ program, errorFile, environment = process.env }: LaunchOptions): ChildProcess {
  mkdirSync(dirname(errorFile), { recursive: true, mode: 0o755 });
  const errors = openSync(errorFile, 'w', 0o600);
  try {
    return spawn(process.execPath, [program], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'ignore', errors, 'ipc'],
      env: { UV_THREADPOOL_SIZE: THREAD_POOL_SIZE, ...environment },
    });
  } finally {
    closeSync(errors);
  }
}

function outcomeOf(child: ChildProcess, settings: MountSettings, options: LaunchOptions): Promise<LaunchOutcome> {
  const deadlineMs = options.deadlineMs ?? LAUNCH_DEADLINE_MS;
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      reject(
        new LazydiskError(
          'UNREACHABLE',
          `The daemon was not ready after ${String(deadlineMs / 1000)} s and was ended.`,
        ),
      );
    }, deadlineMs);
    child.once('error', (error) => {
      clearTimeout(deadline);
      reject(new LazydiskError('IO', `The daemon could not be started: ${messageOf(error)}.`, { cause: error }));
    });
    child.once('exit', (code, signal) => {
      const ended = (): void => {
        clearTimeout(deadline);
        reject(
          new LazydiskError(
            'IO',
            `The daemon ended (${signal ?? `exit status ${String(code)}`}) before the mount was ready${lastWords(options.errorFile)}`,
          ),
        );
      };
      // What it said before it ended may still be in the pipe: the pipe's end comes after it.
      if (child.connected) child.once('disconnect', ended);
      else ended();
    });
    child.on('message', (message) => {
      clearTimeout(deadline);
      const parsed = messageSchema.safeParse(message);
      if (!parsed.success) reject(new LazydiskError('IO', 'The daemon of another version answered.'));
      else if (parsed.data.kind === 'failed') reject(fromWire(parsed.data.error));
      else resolve(parsed.data.outcome);
    });
    child.send(settings, (error) => {
      if (error !== null) child.kill('SIGKILL'); // its exit is reported with its last words
    });
  });
}

/** A mount that says ready but does not answer is a failure. */
async function firstLookup(mountpoint: string): Promise<void> {
  try {
    await stat(mountpoint);
  } catch (error) {
    throw new LazydiskError('IO', `${mountpoint} was mounted but does not answer: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

/** The message of an uncaught error, as Node prints it: `Name: text`. */
function lastWords(errorFile: string): string {
  try {
    const lines = readFileSync(errorFile, 'utf8').split('\n');
    const line = lines.find((each) => /^\w*Error\b.*: /.test(each)) ?? lines.find((each) => each.trim() !== '');
    return line === undefined ? '.' : `: ${line.trim()} (all of it is in ${errorFile})`;
  } catch {
    return '.';
  }
}
