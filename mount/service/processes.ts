/**
 * Telling processes apart: a pid alone may have been given to another one since. A pid and the time at which it was started
 * name one process until the host is started again.
 */
import { readFileSync } from 'node:fs';

/** One process, for as long as the kernel runs. */
export interface ProcessName {
  readonly pid: number;
  /** In clock ticks since the start of the kernel, as /proc has it. */
  readonly startTicks: string;
}

/** This process. */
export function thisProcess(): ProcessName {
  return processNamed(process.pid);
}

/** The process that has this pid now. */
export function processNamed(pid: number): ProcessName {
  return { pid, startTicks: startTicksOf(pid) ?? '' };
}

/** Whether exactly that process still runs. A process that has ended but was not waited for yet does not. */
export function isRunning(name: ProcessName): boolean {
  return startTicksOf(name.pid) === name.startTicks;
}

/** undefined: no such process, or it has ended. */
export function startTicksOf(pid: number): string | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The command's name is in parentheses and may hold anything; fields are counted from behind the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  return state === 'Z' || state === 'X' ? undefined : fields[19];
}
