/** One line on a terminal's stderr that says how far the work is; nothing at all elsewhere. */
import { formatDuration, type Output } from './output.js';
import { formatSize } from './sizes.js';

/** Redrawing more often than the eye follows only costs time. */
const REDRAW_MS = 100;
const CLEAR_LINE = '\r\u001b[2K';

/** How far: `doneBytes` of `totalBytes` (undefined when nobody knows), and what else is worth seeing. */
export interface ProgressState {
  readonly doneBytes: number;
  readonly totalBytes?: number | undefined;
  readonly extra?: string | undefined;
}

export class ProgressLine {
  private readonly startedMs = Date.now();
  private drawnMs = 0;
  private shown = false;

  constructor(
    private readonly output: Output,
    private readonly what: string,
  ) {}

  /** Call as often as it is handy. */
  update(state: ProgressState): void {
    const now = Date.now();
    if (!this.output.onTerminal || now - this.drawnMs < REDRAW_MS) return;
    this.drawnMs = now;
    this.shown = true;
    this.output.streams.stderr.write(`${CLEAR_LINE}${this.line(state, now - this.startedMs)}`);
  }

  /** Takes the line away: the outcome follows. */
  end(): void {
    if (this.shown) this.output.streams.stderr.write(CLEAR_LINE);
    this.shown = false;
  }

  private line({ doneBytes, totalBytes, extra }: ProgressState, elapsedMs: number): string {
    const total = totalBytes === undefined ? '' : ` of ${formatSize(totalBytes)}`;
    const share =
      totalBytes === undefined || totalBytes === 0 ? '' : ` (${String(Math.floor((100 * doneBytes) / totalBytes))} %)`;
    const rate = elapsedMs < 500 ? '' : `, ${formatSize(Math.round((doneBytes * 1000) / elapsedMs))}/s`;
    return `${this.what}: ${formatSize(doneBytes)}${total}${share}${rate}${extra === undefined ? '' : `, ${extra}`}, ${formatDuration(elapsedMs)}`;
  }
}
