/**
 * What a run makes (folders, processes, mounts) and its undoing, in reverse order, however the run ends.
 *
 * Programs are ended by the pid that we started, never by name. Every undo is tried; one that fails is printed, since
 * something left behind would disturb the next measurement.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** How a program ended. */
export interface Ended {
  /** null: a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** A program that goes on running. */
export interface Background {
  readonly pid: number;
  readonly child: ChildProcess;
  /** What it has said on stderr and stdout so far. */
  output(): string;
  hasEnded(): boolean;
  /** SIGTERM, and SIGKILL ten seconds later. */
  stop(): Promise<void>;
}

const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;
const PATIENCE_MS = 10_000;
/** Not /tmp, which may lie in memory: caches and layers belong on a disk. */
const ROOT = process.env['BENCH_TMP'] ?? '/var/tmp';

export class Workspace {
  /** A folder of this run, on a disk, gone at its end. */
  readonly folder: string;
  readonly #undos: (() => Promise<unknown>)[] = [];
  #folders = 0;
  #ending: Promise<void> | undefined;

  constructor() {
    this.folder = mkdtempSync(join(ROOT, 'lazydisk-bench-'));
    this.undoLater(() => rm(this.folder, { recursive: true, force: true }));
  }

  undoLater(undo: () => Promise<unknown>): void {
    this.#undos.push(undo);
  }

  /** Ends the run: undoes everything, the folder last. */
  async undoAll(): Promise<void> {
    // An interruption asks for it while the end of the run does.
    this.#ending ??= this.#undoDownTo(0);
    await this.#ending;
  }

  /** Runs `body`; what it made is undone when it ends, whether it failed or not. */
  async scope<T>(body: () => Promise<T>): Promise<T> {
    if (this.#ending !== undefined) throw new Error('the run has ended');
    const before = this.#undos.length;
    try {
      return await body();
    } finally {
      await this.#undoDownTo(before);
    }
  }

  async #undoDownTo(count: number): Promise<void> {
    while (this.#undos.length > count) {
      const undo = this.#undos.pop();
      try {
        await undo?.();
      } catch (error) {
        process.stderr.write(`bench: clean-up: ${error instanceof Error ? error.message : String(error)}\n`);
      }
    }
  }

  /** A new empty folder, gone at the end of the scope. */
  newFolder(purpose: string): string {
    this.#folders += 1;
    const folder = join(this.folder, `${purpose}-${String(this.#folders)}`);
    mkdirSync(folder);
    this.undoLater(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }

  /** A new empty mountpoint; whatever is mounted there at the end is unmounted. */
  newMountpoint(): string {
    const mountpoint = this.newFolder('mnt');
    this.undoLater(() => unmountIfMounted(mountpoint));
    return mountpoint;
  }

  /** Starts a program that is stopped at the end of the scope. */
  startProgram(
    command: string,
    args: readonly string[],
    options: RunOptions & { stdio?: StdioOptions } = {},
  ): Background {
    const program = background(command, args, options);
    this.undoLater(() => program.stop());
    return program;
  }
}

/** Runs a program to its end, whatever its status. Rejects when it can't be started or takes too long. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = spawn(command, [...args], { cwd: options.cwd, env: { ...process.env, PATH, ...options.env } });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.on('data', (data: Buffer) => stderr.push(data));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const { timeoutMs = 300_000 } = options;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${command} ${args.join(' ')}: not done in ${String(timeoutMs / 1000)} s`));
    }, timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
  });
}

/** Runs a program that has to succeed; resolves to its stdout. */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, stderr } = await run(command, args, options);
  if (status === 0) return stdout;
  throw new Error(`${programName(command, args)}: status ${String(status)}: ${lastLines(stderr || stdout)}`);
}

/** As a reader knows it: `fio`, or `lazydisk mount` for `node …/main.js mount …`. */
function programName(command: string, [script = '', verb = '']: readonly string[]): string {
  return command === process.execPath
    ? `${basename(dirname(script)) === 'cli' ? 'lazydisk' : script} ${verb}`
    : basename(command);
}

/** Whether a program of this name is on the path. */
export async function isInstalled(command: string): Promise<boolean> {
  return (await run('/bin/sh', ['-c', 'command -v "$1"', '-', command])).status === 0;
}

/** Unmounts, lazily if it has to; nothing when nothing is mounted there. */
export async function unmountIfMounted(path: string): Promise<void> {
  for (let tries = 0; tries < 20; tries += 1) {
    if (!(await isMounted(path))) return;
    const { status } = await run('umount', [path]);
    if (status !== 0) await delay(100);
  }
  await must('umount', ['-l', path]);
}

export async function isMounted(path: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return mounts.split('\n').some((line) => line.split(' ')[1] === path);
}

/** Waits until `holds`, looking every few milliseconds. `whileAlive`: a program without which it never will. */
export async function waitUntil(
  what: string,
  holds: () => boolean | Promise<boolean>,
  options: { timeoutMs?: number; whileAlive?: Background } = {},
): Promise<void> {
  const { timeoutMs = 60_000, whileAlive } = options;
  const limit = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (whileAlive?.hasEnded() === true) throw new Error(`${what}: it ended: ${lastLines(whileAlive.output())}`);
    if (performance.now() > limit) throw new Error(`${what}: not in ${String(timeoutMs / 1000)} s`);
    await delay(3);
  }
}

export async function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function background(
  command: string,
  args: readonly string[],
  options: RunOptions & { stdio?: StdioOptions },
): Background {
  const child = spawn(command, [...args], {
    cwd: options.cwd,
    env: { ...process.env, PATH, ...options.env },
    stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  let over = false;
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data: Buffer) => (said += data.toString()));
  const ended = new Promise<void>((resolve) => {
    child.on('error', (error) => {
      said += error.message;
      over = true;
      resolve();
    });
    child.on('exit', () => {
      over = true;
      resolve();
    });
  });
  return {
    pid: child.pid ?? -1,
    child,
    output: () => said,
    hasEnded: () => over,
    stop: async () => {
      if (over) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-3).join(' / ').slice(0, 400);
}
