/**
 * One line of the log, as JSON or as text for people, always one line whatever a message or a fact holds.
 *
 * JSON: `time` (ISO 8601, UTC), `level`, `message`, then the facts. Text: the same in this order, the facts as `name=value` with JSON for
 * what is no plain word. Values of secret environment variables and facts with telling names never enter a line.
 */
import { errnoOf, LazydiskError } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';

export type LogLevel = keyof Log;
export type LogFormat = 'json' | 'text';

/** From the least to the most important. */
export const LOG_LEVELS: readonly LogLevel[] = ['info', 'warn', 'error'];

export interface LogEntry {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A longer line is cut: one line must not push out all the others. */
const LINE_LIMIT = 16 * 1024;
const HIDDEN = '[hidden]';
const SECRET_NAME = /secret|password|token|credential|authorization|access_?key|signature/i;
const SECRET_VARIABLES = ['AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_ACCESS_KEY_ID'];
/** Told apart at a glance, and from a name with an equals sign. */
const PLAIN_WORD = /^[\w./:@+-]+$/;

/** The line of an entry. `secrets` are texts that it must not show. */
export function formatLine(entry: LogEntry, format: LogFormat, secrets: readonly string[]): string {
  const { time, level, message } = entry;
  const line = hidden(format === 'json' ? jsonLine(entry) : textLine(entry), secrets);
  if (line.length <= LINE_LIMIT) return line;
  if (format === 'text') return `${line.slice(0, LINE_LIMIT / 2)} (cut)`;
  return JSON.stringify({ time, level, message: hidden(message, secrets).slice(0, LINE_LIMIT / 2), cut: true });
}

/** Texts that must enter no line. Short values are left alone: hiding every `a` of a line would hide the line. */
export function secretsOf(environment: NodeJS.ProcessEnv): string[] {
  return SECRET_VARIABLES.map((name) => environment[name] ?? '').filter((value) => value.length >= 8);
}

function jsonLine({ time, level, message, facts }: LogEntry): string {
  try {
    return JSON.stringify({ time, level, message, ...facts }, readable);
  } catch {
    return JSON.stringify({ time, level, message }); // a cycle among the facts
  }
}

function textLine({ time, level, message, facts }: LogEntry): string {
  const words = Object.entries(facts).map(([name, value]) => `${name}=${word(name, value)}`);
  return [time, level.toUpperCase().padEnd(5), oneLine(message), ...words].join(' ');
}

function word(name: string, value: unknown): string {
  const shown = readable(name, value);
  if (typeof shown === 'string' && PLAIN_WORD.test(shown)) return shown;
  try {
    // What JSON does not know (undefined, a function) is nothing.
    return JSON.stringify(shown, readable) ?? 'null';
  } catch {
    return '[cycle]';
  }
}

/** Control characters as JSON writes them. */
function oneLine(text: string): string {
  return JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll('\\\\', '\\');
}

function hidden(text: string, secrets: readonly string[]): string {
  return secrets.reduce((line, secret) => line.replaceAll(secret, HIDDEN), text);
}

/** What JSON would lose (errors, big integers) and what it must not show. */
function readable(name: string, value: unknown): unknown {
  if (value instanceof LazydiskError) return { code: value.code, message: value.message, facts: value.facts };
  if (value instanceof Error) return { message: value.message, code: errnoOf(value), stack: value.stack };
  if (typeof value === 'bigint') return value.toString();
  if (SECRET_NAME.test(name)) return HIDDEN;
  return value;
}
