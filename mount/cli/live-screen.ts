/**
 * Lines that are drawn again and again in place on a terminal, until the signal fires.
 *
 * On the alternate screen, so that what was there before is there again afterwards; each picture is one write that begins at the top
 * and clears what is left of the one before, so that nothing flickers. The last picture stays on the ordinary screen.
 */
import { setTimeout as delay } from 'node:timers/promises';

export interface Terminal {
  write(text: string): unknown;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

export interface LiveScreen {
  readonly terminal: Terminal;
  readonly intervalMs: number;
  /** What is to be seen; rejects to end it. */
  readonly draw: (room: { readonly columns: number; readonly rows: number }) => Promise<readonly string[]>;
  readonly signal: AbortSignal;
}

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

/** Resolves when the signal has fired. The terminal is as it was, whatever happens. */
export async function showLive({ terminal, intervalMs, draw, signal }: LiveScreen): Promise<void> {
  let last: readonly string[] = [];
  terminal.write(ENTER);
  try {
    while (!signal.aborted) {
      last = await draw({ columns: terminal.columns ?? 80, rows: terminal.rows ?? 24 });
      terminal.write(`${HOME}${last.map((line) => `${line}${CLEAR_LINE}`).join('\r\n')}${CLEAR_BELOW}`);
      await delay(intervalMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    terminal.write(LEAVE);
  }
  terminal.write(last.map((line) => `${line}\n`).join(''));
}
