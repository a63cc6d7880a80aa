/**
 * The daemon's log: lines (log-line.ts) in a file that never grows beyond a bound.
 *
 * When the file reaches its bound it becomes `daemon.log.1` (replacing the one before) and a new one begins, so at most two files
 * exist. Lines are written at once, synchronously: what was logged before a crash is there. A line that can't be written (disk
 * full) is dropped and counted. What is less important than the level that was asked for is no line at all.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { errnoOf, LazydiskError } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { formatLine, LOG_LEVELS, secretsOf, type LogFormat, type LogLevel } from './log-line.js';

/** Bound of each of the two files, bytes. */
export const LOG_LIMIT_BYTES = 8 * 1024 * 1024;

export interface LogFileOptions {
  /** Default: json. */
  readonly format?: LogFormat;
  /** The least important that is kept. Default: info, which is all. */
  readonly level?: LogLevel;
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
  private readonly leastLevel: number;
  private readonly now: () => Date;

  constructor(
    readonly path: string,
    private readonly options: LogFileOptions = {},
  ) {
    this.limitBytes = options.limitBytes ?? LOG_LIMIT_BYTES;
    this.now = options.now ?? (() => new Date());
    this.secrets = secretsOf(options.environment ?? process.env);
    this.leastLevel = LOG_LEVELS.indexOf(options.level ?? 'info');
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

  private write(level: LogLevel, message: string, facts: Readonly<Record<string, unknown>> | undefined): void {
    if (LOG_LEVELS.indexOf(level) < this.leastLevel) return;
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
    try {
      renameSync(this.path, `${this.path}.1`);
    } catch (error) {
      // Somebody has taken the file away, or the try before found no descriptor for the next one: a new one begins all the same.
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    const next = openSync(this.path, 'a', 0o600);
    closeSync(this.descriptor);
    this.descriptor = next;
    this.sizeBytes = 0;
  }

  private format(level: LogLevel, message: string, facts: Readonly<Record<string, unknown>> = {}): string {
    return formatLine(
      { time: this.now().toISOString(), level, message, facts },
      this.options.format ?? 'json',
      this.secrets,
    );
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
