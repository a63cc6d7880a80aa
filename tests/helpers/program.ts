/** The program itself, as users call it: `node dist/mount/cli/main.js`. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Ended, run, type RunOptions } from './processes.js';

const MAIN = resolve('dist/mount/cli/main.js');

/** Runs `lazydisk` with these arguments to its end, whatever its exit status. */
export async function lazydisk(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: run make build`);
  return run(process.execPath, [MAIN, ...args], options);
}

/** Runs `lazydisk`, which has to succeed; the error holds what it printed. Resolves to its stdout. */
export async function mustLazydisk(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const ended = await lazydisk(args, options);
  if (ended.status === 0) return ended.stdout;
  throw new Error(`lazydisk ${args.join(' ')}: status ${String(ended.status)}\n${ended.stdout}${ended.stderr}`);
}

/** The same with --json: what it printed, parsed. */
export async function lazydiskJson(args: readonly string[], options: RunOptions = {}): Promise<unknown> {
  return JSON.parse(await mustLazydisk([...args, '--json'], options)) as unknown;
}
