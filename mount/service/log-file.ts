/**
 * The daemon's log: JSON lines in a file that never grows beyond a bound.
 *
 * One line has `time` (ISO 8601, UTC), `level`, `message`, and the facts. When the file reaches its bound it becomes
 * `daemon.log.1` (replacing the one before) and a new one begins, so at most two files exist. Lines are written at once,
 * synchronously: what was logged before a crash is there. A line that can't be written (disk full) is dropped and counted.
 * Values of secret environment variables and facts with telling names never enter a line.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { errnoOf, LazydiskError } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';

/** Bound of each of the two files, bytes. */
export const LOG_LIMIT_BYTES = 8 * 1024 * 1024;

/** A longer line is cut: one line must not push out all the others. */
const LINE_LIMIT = 16 * 1024;
const HIDDEN = '[hidden]';
const SECRET_NAME = /secret|password|token|credential|authorization|access_?key|signature/i;
const SECRET_VARIABLES = ['AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_ACCESS_KEY_ID'];

type Level = 'info' | 'warn' | 'error';

export interface LogFileOptions {
  readonly limitBytes?: number;
  /** Where the values that must never be written are taken from. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Also receives every line (`--foreground`). */
  readonly echo?: ((line: string) => void) | undefined;
  readonly now?: () => Date;
}

export class LogFile implements Log {
  private descriptor: number;
  private sizeBytes: number;
  private droppedLines = 0;
  private readonly limitBytes: number;
  private readonly secrets: readonly string[];
  private readonly now: () => Date;

  constructor(
    readonly path: string,
    private readonly options: LogFileOptions = {},
  ) {
    this.limitBytes = options.limitBytes ?? LOG_LIMIT_BYTES;
    this.now = options.now ?? (() => new Date());
    this.secrets = secretsOf(options.environment ?? process.env);
    this.descriptor = openSync(path, 'a', 0o600);
    this.sizeBytes = fstatSync(this.descriptor).size;
  }

  info(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.write('info', message, facts);
  }

  warn(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.write('warn', message, facts);
  }

  error(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.write('error', message, facts);
  }

  /** No line is written afterwards; late ones are dropped. */
  close(): void {
    if (this.descriptor < 0) return;
    closeSync(this.descriptor);
    this.descriptor = -1;
  }

  private write(level: Level, message: string, facts: Readonly<Record<string, unknown>> | undefined): void {
    const line = this.format(level, message, facts);
    this.options.echo?.(line);
    if (this.descriptor < 0) return;
    const bytes = Buffer.from(`${line}\n`);
    try {
      if (this.sizeBytes > 0 && this.sizeBytes + bytes.length > this.limitBytes) this.rotate();
      if (this.droppedLines > 0) {
        const note = Buffer.from(
          `${this.format('warn', 'Log lines could not be written.', { lines: this.droppedLines })}\n`,
        );
        this.sizeBytes += writeSync(this.descriptor, note);
        this.droppedLines = 0;
      }
      this.sizeBytes += writeSync(this.descriptor, bytes);
    } catch {
      this.droppedLines++; // a log that fails must not take the disks of guests with it
    }
  }

  private rotate(): void {
    renameSync(this.path, `${this.path}.1`);
    const next = openSync(this.path, 'a', 0o600);
    closeSync(this.descriptor);
    this.descriptor = next;
    this.sizeBytes = 0;
  }

  private format(level: Level, message: string, facts: Readonly<Record<string, unknown>> = {}): string {
    const entry = { time: this.now().toISOString(), level, message, ...facts };
    let line: string;
    try {
      line = JSON.stringify(entry, (name, value: unknown) => readable(name, value));
    } catch {
      line = JSON.stringify({ time: entry.time, level, message }); // a cycle among the facts
    }
    for (const secret of this.secrets) line = line.replaceAll(secret, HIDDEN);
    if (line.length <= LINE_LIMIT) return line;
    return JSON.stringify({ time: entry.time, level, message: line.slice(0, LINE_LIMIT / 2), cut: true });
  }
}

/** Opens the log, or says in one sentence why not. */
export function openLogFile(path: string, options?: LogFileOptions): LogFile {
  try {
    return new LogFile(path, options);
  } catch (error) {
    throw new LazydiskError('IO', `The log ${path} can't be opened (${errnoOf(error) ?? 'unknown reason'}).`, {
      cause: error,
    });
  }
}

/** What JSON would lose (errors, big integers) and what it must not show. */
function readable(name: string, value: unknown): unknown {
  if (value instanceof LazydiskError) return { code: value.code, message: value.message, facts: value.facts };
  if (value instanceof Error) return { message: value.message, code: errnoOf(value), stack: value.stack };
  if (typeof value === 'bigint') return value.toString();
  if (SECRET_NAME.test(name)) return HIDDEN;
  return value;
}

/** Short values are left alone: hiding every `a` of a line would hide the line. */
function secretsOf(environment: NodeJS.ProcessEnv): string[] {
  return SECRET_VARIABLES.map((name) => environment[name] ?? '').filter((value) => value.length >= 8);
}
