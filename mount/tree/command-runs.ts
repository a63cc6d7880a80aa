/**
 * A command from its beginning to its outcome: it gets an id, is listed as running, does its work, and leaves an outcome in the
 * list, a line in the log and word with whoever counts commands.
 *
 * A run that has begun goes on to its end, whoever stopped waiting for it, and its outcome never rejects: that the work failed is what
 * the outcome says.
 */
import { randomBytes } from 'node:crypto';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import type { CommandOutcome, OutcomeError, Outcomes, RunningCommand } from './outcomes.js';

export interface CommandRunsOptions {
  readonly outcomes: Outcomes;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told of every command that has ended. Returns at once and does not throw. */
  readonly onFinished?: ((outcome: CommandOutcome) => void) | undefined;
}

export interface CommandRun {
  readonly begun: RunningCommand;
  /** Never rejects. */
  readonly outcome: Promise<CommandOutcome>;
}

export class CommandRuns {
  /** Ids of one process begin alike, so that they differ from those of earlier ones in the kept list. */
  readonly #prefix = randomBytes(4).toString('hex');
  #count = 0;

  constructor(private readonly options: CommandRunsOptions) {}

  /** `command`: its line. `image`: the one it is about, or null. */
  begin(command: string, image: string | null, work: () => Promise<unknown>): CommandRun {
    const { outcomes, now } = this.options;
    const begun: RunningCommand = { id: `${this.#prefix}-${++this.#count}`, command, image, startedAt: isoTime(now()) };
    outcomes.started(begun);
    return { begun, outcome: this.#finish(begun, work) };
  }

  async #finish(begun: RunningCommand, work: () => Promise<unknown>): Promise<CommandOutcome> {
    const { outcomes, now, log, onFinished } = this.options;
    const end = await work().then(
      (result) => ({ ok: true, result }),
      (error: unknown) => ({ ok: false, error: outcomeError(error) }),
    );
    const { ok, ...rest } = end;
    const outcome: CommandOutcome = { ...begun, ok, finishedAt: isoTime(now()), ...rest };
    log.info(`Command ${outcome.id} ${outcome.ok ? 'succeeded' : 'failed'}: ${begun.command}`, { ...end });
    onFinished?.(outcome);
    await outcomes.finished(outcome);
    return outcome;
  }
}

/** Throws what a failed outcome says; the code is the same that the command failed with. */
export function throwIfFailed(outcome: CommandOutcome): void {
  if (outcome.ok) return;
  const { code, message, facts } = outcome.error ?? { code: 'IO', message: 'The command failed without saying why.' };
  throw new LazydiskError(code, message, { facts: { ...facts, commandId: outcome.id } });
}

function outcomeError(error: unknown): OutcomeError {
  if (!(error instanceof LazydiskError)) return { code: 'IO', message: messageOf(error) };
  const { code, message, facts } = error;
  return Object.keys(facts).length === 0 ? { code, message } : { code, message, facts };
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
