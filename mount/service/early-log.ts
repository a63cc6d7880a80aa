/** A log before its file is known: what is said till then is kept, and written when the file is there. */
import type { Log } from '../../lib/util/log.js';
import type { LogLevel } from './log-line.js';

/** More than a start ever says; a store that is away for minutes may say more. */
const MOST_KEPT = 100;

export class EarlyLog implements Log {
  private kept: { level: LogLevel; message: string; facts: Readonly<Record<string, unknown>> | undefined }[] = [];
  private file: Log | undefined;

  info(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.say('info', message, facts);
  }

  warn(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.say('warn', message, facts);
  }

  error(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.say('error', message, facts);
  }

  /** From now on everything goes to `file`. */
  continueIn(file: Log): void {
    this.file = file;
    for (const { level, message, facts } of this.kept) file[level](message, facts);
    this.kept = [];
  }

  private say(level: LogLevel, message: string, facts: Readonly<Record<string, unknown>> | undefined): void {
    if (this.file !== undefined) this.file[level](message, facts);
    else if (this.kept.length < MOST_KEPT) this.kept.push({ level, message, facts });
  }
}
