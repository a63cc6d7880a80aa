/**
 * Other programs that read and write what lazydisk does not by itself: QEMU's, decompressors, mke2fs, tar.
 *
 * They get no shell, no terminal and no input but what they are given, and die with lazydisk, however it ends: `setpriv`, which
 * every Debian has, asks the kernel for that before it becomes the program. Where it is missing they still end when their input does.
 */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { LazydiskError } from '../util/errors.js';

/** Where programs are looked for beside PATH, which may lack these for users other than root. */
const MORE_FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];
/** As much of what a program says on stderr is kept. */
const MOST_WORDS = 4096;

/** A program that is needed, with the Debian package that brings it. */
export interface Program {
  readonly command: string;
  readonly package: string;
}

/** How a program ended. */
export interface Ended {
  readonly succeeded: boolean;
  /** null when a signal ended it, or it could not be started. */
  readonly status: number | null;
  /** The last line that it said on stderr, or how it ended if it said nothing; without a full stop. */
  readonly said: string;
  /** The first line, which tells more where the last one only sums up; as `said` otherwise. */
  readonly saidFirst: string;
}

export interface Started {
  readonly process: ChildProcess;
  /** Never rejects. */
  readonly ended: Promise<Ended>;
  /** Resolves when it is gone. */
  end(): Promise<void>;
}

/** UNSUPPORTED: the program is not installed. `why` is the beginning of a sentence: `disk.xz is packed by xz`. */
export async function startProgram(
  { command, package: packageName }: Program,
  args: readonly string[],
  why: string,
  stdio: StdioOptions,
): Promise<Started> {
  const path = await findProgram(command);
  if (path === undefined) {
    throw new LazydiskError(
      'UNSUPPORTED',
      `${why}, and the program ${command}, which is needed for that, is not installed (Debian: apt install ${packageName}).`,
      { facts: { program: command, package: packageName } },
    );
  }
  const guard = await findProgram('setpriv');
  const line = guard === undefined ? [path, ...args] : [guard, '--pdeathsig', 'KILL', '--', path, ...args];
  const child = spawn(line[0]!, line.slice(1), { stdio, env: { ...process.env, LC_ALL: 'C' } });
  const words: string[] = [];
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    if (words.join('').length < MOST_WORDS) words.push(text);
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('error', (error) => {
      resolve({ succeeded: false, status: null, said: error.message, saidFirst: error.message });
    });
    child.once('close', (status, signal) => {
      const lines = words.join('').trim().split('\n');
      const how = `${command} ended with ${signal ?? `status ${String(status)}`}`;
      const [said, saidFirst] = [lines.at(-1), lines[0]].map((line) => line?.trim().replace(/\.$/, '') || how);
      resolve({ succeeded: status === 0, status, said: said!, saidFirst: saidFirst! });
    });
  });
  return {
    process: child,
    ended,
    async end() {
      child.kill('SIGKILL');
      for (const stream of child.stdio) stream?.destroy();
      await ended;
    },
  };
}

async function findProgram(command: string): Promise<string | undefined> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), ...MORE_FOLDERS]) {
    const path = join(folder, command);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}
