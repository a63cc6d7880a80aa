/**
 * What commands came to: the last outcomes of a mount, newest last, with ids.
 *
 * Control files and the service's control API share one list, so that an id that one of them hands out is found through the
 * other. The list is bounded and kept in the state's database, so that a descriptor that outlives the daemon still finds
 * it; that it could not be kept is logged and fails no command, because the command itself has happened.
 */
import type { LocalDatabase } from '../../lib/mirror/local-database.js';
import { messageOf, type ErrorCode } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';

/** What a failed command says. */
export interface OutcomeError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** The outcome of one command. Times are ISO 8601, UTC. */
export interface CommandOutcome {
  readonly id: string;
  /** The command as a line of the control file of the whole mount. */
  readonly command: string;
  /** The image it was about, or null. */
  readonly image: string | null;
  readonly ok: boolean;
  readonly startedAt: string;
  readonly finishedAt: string;
  /** What the verb answers; only when `ok`. */
  readonly result?: unknown;
  /** Only when not `ok`. */
  readonly error?: OutcomeError;
}

/** A command that has not come to its end. */
export type RunningCommand = Pick<CommandOutcome, 'id' | 'command' | 'image' | 'startedAt'>;

/** A commit whose cut is taken, and which goes on. */
export interface BegunCommit extends RunningCommand {
  /** How long the cut held writers up, milliseconds. */
  readonly pauseMs: number;
}

/** What a fresh descriptor of a control file reads. */
export interface OutcomeHistory {
  readonly schemaVersion: 1;
  readonly running: readonly RunningCommand[];
  /** Oldest first. */
  readonly outcomes: readonly CommandOutcome[];
}

/** How many outcomes are kept. */
export const MAX_OUTCOMES = 32;

const OUTCOMES_KEY = 'tree/outcomes';

/** What outcomes need of the state's database. */
export type OutcomeDatabase = Pick<LocalDatabase, 'get' | 'put'>;

export class Outcomes {
  readonly #running = new Map<string, RunningCommand>();
  #finished: CommandOutcome[] = [];
  #saving: Promise<void> = Promise.resolve();

  private constructor(
    private readonly database: OutcomeDatabase,
    private readonly log: Log,
  ) {}

  /** Reads what earlier runs have left. */
  static async open(database: OutcomeDatabase, log: Log): Promise<Outcomes> {
    const outcomes = new Outcomes(database, log);
    const kept = await database.get(OUTCOMES_KEY);
    if (kept !== undefined) outcomes.#finished = parseOutcomes(kept, log);
    return outcomes;
  }

  started(command: RunningCommand): void {
    this.#running.set(command.id, command);
  }

  /** Kept when it resolves, if it can be. Never rejects. */
  async finished(outcome: CommandOutcome): Promise<void> {
    this.#running.delete(outcome.id);
    this.#finished = [...this.#finished, outcome].slice(-MAX_OUTCOMES);
    const saved = this.#saving.then(() => this.#save());
    this.#saving = saved;
    await saved;
  }

  /** undefined: never begun, or forgotten. */
  get(id: string): CommandOutcome | RunningCommand | undefined {
    return this.#running.get(id) ?? this.#finished.find((outcome) => outcome.id === id);
  }

  /** Commands that have not ended, of all images or of one. */
  running(image?: string): readonly RunningCommand[] {
    return [...this.#running.values()].filter((command) => image === undefined || command.image === image);
  }

  runningCount(): number {
    return this.#running.size;
  }

  /** The last outcomes, of all images or of one. */
  history(image?: string): OutcomeHistory {
    const outcomes = this.#finished.filter((command) => image === undefined || command.image === image);
    return { schemaVersion: 1, running: this.running(image), outcomes };
  }

  async #save(): Promise<void> {
    try {
      await this.database.put(OUTCOMES_KEY, Buffer.from(JSON.stringify(this.#finished)));
    } catch (error) {
      this.log.warn('The outcome of a command could not be kept in the state directory.', { reason: messageOf(error) });
    }
  }
}

function parseOutcomes(kept: Buffer, log: Log): CommandOutcome[] {
  try {
    const value: unknown = JSON.parse(kept.toString('utf8'));
    if (Array.isArray(value) && value.every(isOutcome)) return value.slice(-MAX_OUTCOMES);
  } catch {
    // Falls through: what can't be read is history, not data.
  }
  log.warn('The outcomes of earlier commands could not be read; the list begins anew.');
  return [];
}

function isOutcome(value: unknown): value is CommandOutcome {
  const outcome = value as Partial<CommandOutcome> | null;
  return (
    typeof outcome === 'object' &&
    outcome !== null &&
    typeof outcome.id === 'string' &&
    typeof outcome.command === 'string' &&
    (typeof outcome.image === 'string' || outcome.image === null) &&
    typeof outcome.ok === 'boolean' &&
    typeof outcome.startedAt === 'string' &&
    typeof outcome.finishedAt === 'string'
  );
}
