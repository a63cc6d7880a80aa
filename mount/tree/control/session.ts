/**
 * One open descriptor of a control file: lines in, outcomes out.
 *
 * Lines run one after the other, each at its newline or, for a last one without, when the descriptor is closed. Several in
 * one write run in order and stop at the first that fails: the write gets its errno, what followed in that write is
 * dropped. A writer that is interrupted gets EINTR, and its lines run all the same: what was written was said.
 *
 * Reading gives the outcome of the last command of this descriptor (waiting for one that still runs; a commit that nobody
 * wanted to wait for is told as running, until it has ended), or the last outcomes of the file when it has run none. The text is made at the first read after a command, or by a read at offset 0, and later
 * reads page through that same text. A descriptor that was written to stands behind what it wrote, so its first read
 * afterwards counts as the beginning of the text.
 */
import { Turns } from '../../../lib/util/turns.js';
import { FsError } from '../../fuse/errno.js';
import { throwIfFailed } from '../command-runs.js';
import type { Commands } from '../commands.js';
import type { BegunCommit, CommandOutcome } from '../outcomes.js';
import { parseControlLine, type ControlCommand, type Scope } from './grammar.js';
import { decodeLine, LineBuffer } from './line-buffer.js';

/** Longest single write, bytes. */
export const MAX_WRITE_BYTES = 64 * 1024;

/** The text that reads page through, and the offset at which the descriptor stood when it began. */
interface Page {
  readonly text: Buffer;
  readonly startOffset: number;
}

export class ControlSession {
  readonly #lines = new LineBuffer();
  #last: CommandOutcome | BegunCommit | undefined;
  #written = false;
  #page: Page | undefined;
  /** The end of the work that was given so far; never rejects. */
  readonly #turns = new Turns();

  /** `image` undefined: the control file of the whole mount. */
  constructor(
    private readonly commands: Commands,
    private readonly image: string | undefined,
  ) {}

  /** Resolves when every line that the bytes complete has run; rejects with what the first failed one says, or EINTR. */
  write(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#next(signal, async () => {
      this.#written = true;
      if (bytes.length > MAX_WRITE_BYTES) {
        throw new FsError('EINVAL', `Expected at most ${MAX_WRITE_BYTES} bytes in one write, got ${bytes.length}.`);
      }
      let lines: readonly Uint8Array[] = [];
      try {
        lines = this.#lines.add(bytes);
      } catch (error) {
        await this.#refuse('', error);
      }
      await this.#runAll(lines);
    });
  }

  /** Runs what was written after the last newline. */
  flush(signal: AbortSignal): Promise<void> {
    return this.#next(signal, async () => {
      const rest = this.#lines.takeRest();
      if (rest !== undefined) await this.#runAll([rest]);
    });
  }

  /** A part of the text; empty at its end. */
  async read(offset: number, lengthBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    if (this.#page === undefined || offset === 0 || offset < this.#page.startOffset) {
      await interruptible(this.#turns.ended(), signal);
      const startOffset = this.#written ? offset : 0;
      this.#page = { text: Buffer.from(`${JSON.stringify(this.#document(), null, 2)}\n`), startOffset };
    }
    const { text, startOffset } = this.#page;
    return text.subarray(Math.max(0, offset - startOffset), Math.max(0, offset - startOffset) + lengthBytes);
  }

  #document(): unknown {
    if (this.#last === undefined) return this.commands.history(this.image);
    if ('ok' in this.#last) return this.#last;
    const now = this.commands.command(this.#last.id);
    return now !== undefined && 'ok' in now ? now : this.#last;
  }

  /** Queues work behind what runs. The caller may stop waiting; the work does not stop. */
  #next(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    return interruptible(this.#turns.take(work), signal);
  }

  async #runAll(lines: readonly Uint8Array[]): Promise<void> {
    for (const line of lines) {
      try {
        await this.#run(line);
      } catch (error) {
        this.#lines.clear();
        throw error;
      }
    }
  }

  async #run(line: Uint8Array): Promise<void> {
    const scope: Scope = this.image === undefined ? 'mount' : 'image';
    let command: ControlCommand | undefined;
    try {
      command = parseControlLine(scope, decodeLine(line));
    } catch (error) {
      await this.#refuse(Buffer.from(line).toString('utf8'), error);
    }
    if (command !== undefined) this.#finish(await this.commands.runLine(command, this.image));
  }

  async #refuse(line: string, error: unknown): Promise<never> {
    this.#finish(await this.commands.refuseLine(line, this.image, error));
    throw error;
  }

  #finish(outcome: CommandOutcome | BegunCommit): void {
    this.#last = outcome;
    this.#page = undefined;
    if ('ok' in outcome) throwIfFailed(outcome);
  }
}

/** Waits for the work, or until the caller is interrupted: EINTR. The work goes on. */
async function interruptible<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    work.catch(() => undefined);
    throw interrupted();
  }
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => reject(interrupted());
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

function interrupted(): FsError {
  return new FsError('EINTR', 'The caller was interrupted; its commands go on.');
}
