/**
 * The supervisor of a mount, started before the command that mounts has been loaded: starting processes is half of what stands
 * between `lazydisk mount` and an open file, and this one has nothing to wait for.
 *
 * The entry file of the command calls `startEarly`, in a bundle of its own; the verb `mount` takes what was started
 * (launch.ts). A command that ends without taking it (a wrong option, a mount that is there already) leaves nothing: the
 * supervisor has been given no settings, sees the pipe close, and ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Threads for blocking calls of the daemon's main thread: fdatasync of many guests must not hold up each other. */
const THREAD_POOL_SIZE = '16';
/** Where the two bundles meet. */
const KEY = Symbol.for('lazydisk.early-supervisor');
const UNTAKEN: readonly string[] = ['-h', '--help', '--version', '--foreground'];

interface Early {
  readonly child: ChildProcess;
  /** What Node says when the process crashes, until the mountpoint is known that names it. */
  readonly errorFile: string;
}

/** Starts `program` when the words of the command line say that it will be wanted. Never throws. */
export function startEarly(words: readonly string[], environment: NodeJS.ProcessEnv, program: string): void {
  if (words[0] !== 'mount' || words.some((word) => UNTAKEN.includes(word)) || process.getuid?.() !== 0) return;
  const folder = environment['LAZYDISK_RUNTIME_DIR'] ?? '/run/lazydisk';
  const errorFile = join(folder, `starting-${String(process.pid)}.stderr`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const child = spawnSupervisor(program, errorFile, environment);
    // Whoever takes it listens; until then it keeps nobody waiting.
    child.once('error', () => undefined);
    child.unref();
    child.channel?.unref();
    (globalThis as Record<symbol, unknown>)[KEY] = { child, errorFile } satisfies Early;
    process.once('exit', () => {
      rmSync(errorFile, { force: true });
    });
  } catch {
    // It is started later, then, and says why it can't be.
  }
}

/** What was started early, once, with its crash file under the name that the mount gives it; undefined: nothing was. */
export function takeEarly(errorFile: string): ChildProcess | undefined {
  const early = (globalThis as Record<symbol, unknown>)[KEY] as Early | undefined;
  if (early === undefined) return undefined;
  Reflect.deleteProperty(globalThis, KEY);
  const { child } = early;
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null || !child.connected)
    return undefined;
  renameSync(early.errorFile, errorFile);
  child.ref();
  child.channel?.ref();
  return child;
}

/** A process of its own session, with no terminal and `/` as its folder. Throws as node:fs does. */
export function spawnSupervisor(program: string, errorFile: string, environment: NodeJS.ProcessEnv): ChildProcess {
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
