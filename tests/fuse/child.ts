/**
 * Programs that use the mount while the test's main thread serves it: always other processes, never awaited synchronously.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs a shell script to its end; `$1` and so on are the arguments. Rejects unless it exits with 0. */
export async function shell(script: string, ...args: string[]): Promise<string> {
  const { stdout } = await run('/bin/sh', ['-euc', script, 'sh', ...args], { maxBuffer: 64 << 20 });
  return stdout;
}

/** Runs a Python script to its end and returns what it printed. */
export async function python(script: string, ...args: string[]): Promise<string> {
  const { stdout } = await run('python3', ['-c', script, ...args], { maxBuffer: 64 << 20 });
  return stdout.trim();
}

/** Starts a Python script and leaves it running. */
export function startPython(script: string, ...args: string[]): ChildProcess {
  return spawn('python3', ['-c', script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
}

/** How a process ended. */
export function exitOf(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve({ code: child.exitCode, signal: child.signalCode });
      return;
    }
    child.on('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
}

/** Resolves with the first output of a process. */
export function firstOutput(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.stdout?.once('data', (bytes: Buffer) => {
      resolve(bytes.toString());
    });
  });
}
