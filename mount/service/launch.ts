/**
 * Starts a supervisor, and waits until the mount of its first daemon answers.
 *
 * The supervisor is a process of its own session, with no terminal and `/` as its folder, and so is its daemon; it may have been
 * started before (early-start.ts). Settings go
 * to it, and the outcome comes back, over a pipe (IPC); a failure travels whole, so that `mount` ends with the same sentence
 * as in the foreground. What they write to stderr (only what Node itself says when it crashes) goes to a file beside the
 * registry. Once the daemon is ready, the starter itself makes the first lookup on the mount, and only then says that it is
 * mounted.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as z from 'zod';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import { fromWire } from './control-protocol.js';
import { spawnSupervisor, takeEarly } from './early-start.js';
import { removeIfEmpty } from './registry.js';
import type { MountSettings } from './settings.js';
import type { DaemonOutcome } from './supervision.js';

/** Opening the store, waiting for a dying daemon's lock, and mounting all have shorter limits of their own. */
const LAUNCH_DEADLINE_MS = 180_000;

export interface LaunchOutcome extends DaemonOutcome {
  readonly supervisorPid: number;
}

const messageSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('ready'),
    outcome: z.object({
      daemonPid: z.int(),
      stateDirectory: z.string(),
      degraded: z.boolean(),
      survivable: z.boolean(),
      dashboard: z.string().nullable(),
    }),
  }),
  z.object({ kind: z.literal('failed'), error: z.unknown() }),
  z.object({ kind: z.literal('died'), how: z.string() }),
]);

export interface LaunchOptions {
  /** The module that the supervisor runs: it calls supervise. */
  readonly program: string;
  /** File for what Node writes when one of them crashes; replaced at each start. */
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
  return takeEarly(errorFile) ?? spawnSupervisor(program, errorFile, environment);
}

function outcomeOf(child: ChildProcess, settings: MountSettings, options: LaunchOptions): Promise<LaunchOutcome> {
  const deadlineMs = options.deadlineMs ?? LAUNCH_DEADLINE_MS;
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => {
      // The supervisor sees that nobody waits for it any more, and takes down what it has started.
      const seconds = String(deadlineMs / 1000);
      reject(new LazydiskError('UNREACHABLE', `The daemon was not ready after ${seconds} s and was ended.`));
    }, deadlineMs);
    const died = (how: string): void => {
      clearTimeout(deadline);
      const words = lastWords(options.errorFile);
      reject(new LazydiskError('IO', `The daemon ended (${how}) before the mount was ready${words}`));
    };
    child.once('error', (error) => {
      clearTimeout(deadline);
      reject(new LazydiskError('IO', `The daemon could not be started: ${messageOf(error)}.`, { cause: error }));
    });
    child.once('exit', (code, signal) => {
      const ended = (): void => {
        died(signal ?? `exit status ${String(code)}`);
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
      else if (parsed.data.kind === 'died') died(parsed.data.how);
      else resolve({ ...parsed.data.outcome, supervisorPid: child.pid ?? -1 });
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
