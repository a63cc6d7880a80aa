/**
 * What a verb says. stdout has the data (with `--json` only JSON), stderr has notes, progress and errors: text for people,
 * or with `--json` one JSON line `{"error": {code, message, facts}}`.
 */
import { toWire } from '../service/control-protocol.js';
import type { Terminal } from './live-screen.js';
import { printable, printableLine } from './printable.js';

/** The streams of a process, or of a test. */
export interface Streams {
  readonly stdout: Terminal & { readonly isTTY?: boolean | undefined };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean | undefined };
  readonly stdin: { readonly isTTY?: boolean | undefined };
}

export class Output {
  constructor(
    readonly streams: Streams,
    readonly json: boolean,
  ) {}

  /** The outcome: the value as JSON, or what `render` makes of it for people. */
  result<T>(value: T, render: (value: T) => string): void {
    const text = this.json ? JSON.stringify(value, null, 2) : printable(render(value));
    if (text !== '') this.streams.stdout.write(`${text}\n`);
  }

  /** Something to know beside the outcome; for people only. */
  note(text: string): void {
    if (!this.json) this.streams.stderr.write(`${printable(text)}\n`);
  }

  /** The failure: the last thing that a verb says. */
  failure(error: unknown): void {
    const wire = toWire(error);
    this.streams.stderr.write(
      this.json ? `${JSON.stringify({ error: wire })}\n` : `lazydisk: ${printable(wire.message)}\n`,
    );
  }

  /** Whether progress may be drawn. */
  get onTerminal(): boolean {
    return this.streams.stderr.isTTY === true && !this.json;
  }
}

/** Columns of equal width, two spaces apart; numbers are the caller's to format. */
export function table(facts: readonly (readonly string[])[]): string {
  const rows = facts.map((row) => row.map(printableLine));
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, at) => (widths[at] = Math.max(widths[at] ?? 0, cell.length)));
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A name and what there is to say. */
export type Fact = readonly [name: string, value: string];

/** One fact a line, the values in one column. */
export function factLines(facts: readonly Fact[]): string {
  const width = Math.max(...facts.map(([name]) => name.length)) + 2;
  return facts.map(([name, value]) => `${`${name}:`.padEnd(width)}${printableLine(value)}`).join('\n');
}

/** `1 image`, `2 images`. */
export function counted(count: number, name: string): string {
  return `${String(count)} ${name}${count === 1 ? '' : 's'}`;
}

/** Local time to the second, for people: `2026-03-01 17:04:05`. */
export function formatTime(timeMs: number): string {
  const date = new Date(timeMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `1.2 s`, `3 min 20 s`, `5 h 2 min`, `9 d 3 h`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 60_000) return `${(durationMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours === 0) return `${String(minutes)} min ${String(seconds % 60)} s`;
  if (hours < 24) return `${String(hours)} h ${String(minutes % 60)} min`;
  return `${String(Math.floor(hours / 24))} d ${String(hours % 24)} h`;
}
