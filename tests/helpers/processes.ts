/** Other programs: run to their end, or kept running until the clean-up, always ended by their own pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { startTicksOf } from '../../mount/service/processes.js';
import { undoLater } from './cleanup.js';

/** How a program ended. `status` is null when a signal ended it. */
export interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Added to the environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** Killed after this; the promise rejects then. */
  readonly timeoutMs?: number;
}

/** A program that runs beside the test. */
export interface Running {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** What it has printed so far. */
  output(): string;
  kill(signal?: NodeJS.Signals): void;
  write(text: string): void;
}

const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

/** Starts a program; it is killed at the clean-up if it still runs. */
export function start(command: string, args: readonly string[], options: RunOptions = {}): Running {
  const child = spawn(command, [...args], {
    cwd: options.cwd,
    env: { ...process.env, PATH, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.on('data', (data: Buffer) => stderr.push(data));
  // A program that ends without reading its input is no error of the test.
  child.stdin.on('error', () => undefined);
  if (options.input !== undefined) child.stdin.end(options.input);

  let timer: NodeJS.Timeout | undefined;
  const text = (parts: Buffer[]): string => Buffer.concat(parts).toString('utf8');
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      resolve({ status, signal, stdout: text(stdout), stderr: text(stderr) });
    });
    if (options.timeoutMs === undefined) return;
    timer = setTimeout(() => {
      child.kill('SIGKILL');
      const said = text(stdout) + text(stderr);
      reject(new Error(`${command} ${args.join(' ')}: not done in ${String(options.timeoutMs)} ms; it said: ${said}`));
    }, options.timeoutMs);
  }).finally(() => {
    clearTimeout(timer);
  });
  ended.catch(() => undefined);
  undoLater(async () => {
    await endOf(child);
  });
  return {
    pid: child.pid ?? -1,
    ended,
    output: () => text(stdout) + text(stderr),
    kill: (signal = 'SIGKILL') => {
      child.kill(signal);
    },
    write: (input) => {
      child.stdin.write(input);
    },
  };
}

/** Runs a program to its end, whatever its exit status. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return start(command, args, { timeoutMs: 120_000, input: '', ...options }).ended;
}

/** Runs a program that has to succeed; the error holds what it printed. Resolves to its stdout. */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const ended = await run(command, args, options);
  if (ended.status === 0) return ended.stdout;
  const how = ended.signal ?? `status ${String(ended.status)}`;
  throw new Error(`${command} ${args.join(' ')}: ${how}\n${ended.stdout}${ended.stderr}`);
}

/** Whether a process runs. One that has ended does not, even while nobody has waited for it. */
export function isAlive(pid: number): boolean {
  return startTicksOf(pid) !== undefined;
}

/** The processes that a process has started and that have not been waited for. */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const closed = new Promise<void>((resolve) => {
    child.once('exit', () => {
      resolve();
    });
  });
  child.kill('SIGKILL');
  await closed;
}
