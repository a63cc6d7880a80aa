/**
 * The verbs that change images, as control files and the service's control API run them.
 *
 * Every method resolves to an outcome, also when the verb failed (command-runs.ts): the outcome is what is shown, and
 * `throwIfFailed` turns it into the error for those who need one. What a verb does is in execute-command.ts. Here is what holds for all of
 * them: a read-only mount refuses what changes something, and how many run at once is bounded.
 */
import type { Catalogue, CommitCut } from '../../lib/image/api.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { withResolvers } from '../fuse/with-resolvers.js';
import { CommandRuns, type CommandRun, type CommandRunsOptions } from './command-runs.js';
import type { CloneWish, CommitWish } from './command-values.js';
import { formatControlCommand, HELP, type ControlCommand } from './control/grammar.js';
import { changesSomething, executeCommand, taggedNumber, type RunnableCommand } from './execute-command.js';
import type { BegunCommit, CommandOutcome, OutcomeHistory, RunningCommand } from './outcomes.js';

export interface CommandsOptions extends CommandRunsOptions {
  readonly catalogue: Catalogue;
  readonly readOnly: boolean;
}

/** More commands at once than this are refused as BUSY. */
const MAX_RUNNING_COMMANDS = 64;

/** Of a line that is no command, so much is kept. */
const MAX_SHOWN_LINE = 200;

export class Commands {
  readonly #runs: CommandRuns;

  constructor(private readonly options: CommandsOptions) {
    this.#runs = new CommandRuns(options);
  }

  /** Publishes the head's changes as the next snapshot, or as a new image. `result`: CommitOutcome. */
  commit(image: string, { label = '', as }: CommitWish = {}): Promise<CommandOutcome> {
    return this.#run({ verb: 'commit', image, label, as, async: false });
  }

  /** The same, but resolves when the cut is taken; at the end when that comes first: nothing has changed, or it has failed. */
  beginCommit(image: string, { label = '', as }: CommitWish = {}): Promise<CommandOutcome | BegunCommit> {
    return this.#untilCut({ verb: 'commit', image, label, as, async: true });
  }

  /** Makes `newName` from a snapshot of `source`, the newest one when `number` is undefined. `result`: CloneOutcome. */
  clone(
    source: string,
    number: number | undefined,
    newName: string,
    { commit = false, local = false, sizeBytes }: CloneWish = {},
  ): Promise<CommandOutcome> {
    return this.#run({ verb: 'clone', image: source, newName, number, commit, local, sizeBytes });
  }

  /** Throws away what was not committed; the head stands on its base, or on `number`. `result`: RevertResult. */
  revert(image: string, number?: number): Promise<CommandOutcome> {
    return this.#run({ verb: 'revert', image, number });
  }

  /** Gives up our lock of a clean head. `result`: UnlockResult. */
  unlock(image: string): Promise<CommandOutcome> {
    return this.#run({ verb: 'unlock', image });
  }

  /** Makes what the head stands on, or a snapshot, local. `result`: HydrateOutcome. */
  hydrate(image: string, number?: number): Promise<CommandOutcome> {
    return this.#run({ verb: 'hydrate', image, number });
  }

  /** Keeps what was touched of the head's disk as the image's boot profile. `result`: ProfileResult. */
  recordProfile(image: string): Promise<CommandOutcome> {
    return this.#run({ verb: 'profile', image, action: 'record' });
  }

  /** The number of the snapshot that a tag leads to now. NOT_FOUND. */
  tagged(image: string, tag: string): Promise<number> {
    return taggedNumber(this.options.catalogue, image, tag);
  }

  /** The outcome of a command, or what is known of it while it runs; undefined: not (or no longer) known. */
  command(id: string): CommandOutcome | RunningCommand | undefined {
    return this.options.outcomes.get(id);
  }

  /** Commands that have begun and not ended, of all images or of one. */
  running(image?: string): readonly RunningCommand[] {
    return this.options.outcomes.running(image);
  }

  /** The last outcomes, of all images or of one. */
  history(image?: string): OutcomeHistory {
    return this.options.outcomes.history(image);
  }

  /** How many commands have begun and not ended: an orderly end waits for them. */
  runningCount(): number {
    return this.options.outcomes.runningCount();
  }

  /**
   * Runs a parsed line. `image` is the image of the control file, or undefined in the one of the whole mount. Resolves as the
   * method of the verb does.
   */
  runLine(command: ControlCommand, image: string | undefined): Promise<CommandOutcome | BegunCommit> {
    if (command.verb === 'help') {
      const help = HELP[image === undefined ? 'mount' : 'image'];
      return this.#runs.begin('help', image ?? null, () => Promise.resolve({ help })).outcome;
    }
    const named = { ...command, image: command.image ?? image };
    return named.verb === 'commit' && named.async ? this.#untilCut(named) : this.#run(named);
  }

  /** The outcome of a line that is no command. */
  refuseLine(line: string, image: string | undefined, error: unknown): Promise<CommandOutcome> {
    const shown = line.length > MAX_SHOWN_LINE ? `${line.slice(0, MAX_SHOWN_LINE)}…` : line;
    return this.#runs.begin(shown, image ?? null, () => Promise.reject(error)).outcome;
  }

  #run(command: RunnableCommand): Promise<CommandOutcome> {
    return this.#begin(command).outcome;
  }

  async #untilCut(command: RunnableCommand): Promise<CommandOutcome | BegunCommit> {
    const cut = withResolvers<CommitCut>();
    const { begun, outcome } = this.#begin(command, cut.resolve);
    return Promise.race([outcome, cut.promise.then(({ pauseMs }) => ({ ...begun, pauseMs }))]);
  }

  #begin(command: RunnableCommand, onCut?: (cut: CommitCut) => void): CommandRun {
    return this.#runs.begin(formatControlCommand(command), command.image ?? null, async () => {
      this.#assertMayRun(command);
      return executeCommand(this.options.catalogue, command, onCut);
    });
  }

  /** The command itself counts as running already. */
  #assertMayRun(command: RunnableCommand): void {
    if (this.options.readOnly && changesSomething(command)) {
      throw new LazydiskError('READ_ONLY', 'This mount is read-only: mount without --read-only to change images.');
    }
    if (this.runningCount() > MAX_RUNNING_COMMANDS) {
      throw new LazydiskError('BUSY', `${MAX_RUNNING_COMMANDS} commands are running: wait for one to end.`);
    }
  }
}
