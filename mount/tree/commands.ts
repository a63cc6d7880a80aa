/**
 * The verbs that change images, as control files and the service's control API run them.
 *
 * Every method resolves to an outcome, also when the verb failed: the outcome is what is shown, and `throwIfFailed` turns
 * it into the error for those who need one. A command that has begun runs to its end, whoever stopped waiting for it. How
 * many run at once is bounded; what may run beside what is the images' own rule.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Catalogue, CloneOutcome, CommitCut, CommitOutcome, HydrateOutcome, Image } from '../../lib/image/api.js';
import type { BootProfile } from '../../lib/format/profile.js';
import { assertImageName } from '../../lib/format/keys.js';
import { MAX_LABEL_LENGTH } from '../../lib/format/snapshot-record.js';
import { hasCode, LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { withResolvers } from '../fuse/with-resolvers.js';
import {
  formatControlCommand,
  HELP,
  type ControlCommand,
  type ProfileAction,
  type Scope,
  type SnapshotWord,
} from './control/grammar.js';
import type {
  BegunCommit,
  CommandOutcome,
  OutcomeError,
  OutcomeHistory,
  Outcomes,
  RunningCommand,
} from './outcomes.js';

/** How a clone is asked for, beside what it is made of. */
export interface CloneWish {
  readonly commit?: boolean | undefined;
  readonly local?: boolean | undefined;
  /** As large as the source by default. */
  readonly sizeBytes?: number | undefined;
}

/** How a commit is asked for. */
export interface CommitWish {
  readonly label?: string | undefined;
  /** Name of the new image that the changes are saved as. */
  readonly as?: string | undefined;
}

/** What `revert` answers. */
export interface RevertResult {
  readonly image: string;
  /** The snapshot that was asked for; null: the base. */
  readonly number: number | null;
}

/** What `unlock` answers. */
export interface UnlockResult {
  readonly image: string;
}

/** What `profile` answers. */
export interface ProfileResult {
  readonly image: string;
  /** null: there is none, or it was dropped. */
  readonly profile: BootProfile | null;
}

export interface CommandsOptions {
  readonly catalogue: Catalogue;
  readonly outcomes: Outcomes;
  readonly readOnly: boolean;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Told of every command that has ended. Returns at once and does not throw. */
  readonly onFinished?: ((outcome: CommandOutcome) => void) | undefined;
}

/** More commands at once than this are refused as BUSY. */
export const MAX_RUNNING_COMMANDS = 64;

/**
 * How long a command that needs a closed head waits for one to be closed. The kernel tells of the last close after close(2)
 * has returned, so a command that follows at once may come first.
 */
export const RELEASE_GRACE_MS = 500;
const RELEASE_POLL_MS = 20;

interface Begun {
  readonly begun: RunningCommand;
  /** Never rejects. */
  readonly outcome: Promise<CommandOutcome>;
}

type RunnableCommand = Exclude<ControlCommand, { verb: 'help' }>;

export class Commands {
  /** Ids of one run begin alike, so that they differ from those of earlier runs in the kept list. */
  readonly #run = randomBytes(4).toString('hex');
  #count = 0;

  constructor(private readonly options: CommandsOptions) {}

  /** Publishes the head's changes as the next snapshot, or as a new image. `result`: CommitOutcome. */
  commit(image: string, { label = '', as }: CommitWish = {}): Promise<CommandOutcome> {
    return this.#begin({ verb: 'commit', image, label, as, async: false }).outcome;
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
    return this.run({ verb: 'clone', image: source, newName, number, commit, local, sizeBytes });
  }

  /** Throws away what was not committed; the head stands on its base, or on `number`. `result`: RevertResult. */
  revert(image: string, number?: number): Promise<CommandOutcome> {
    return this.run({ verb: 'revert', image, number });
  }

  /** Gives up our lock of a clean head. `result`: UnlockResult. */
  unlock(image: string): Promise<CommandOutcome> {
    return this.run({ verb: 'unlock', image });
  }

  /** Makes what the head stands on, or a snapshot, local. `result`: HydrateOutcome. */
  hydrate(image: string, number?: number): Promise<CommandOutcome> {
    return this.run({ verb: 'hydrate', image, number });
  }

  /** Keeps what was touched of the head's disk as the image's boot profile. `result`: ProfileResult. */
  recordProfile(image: string): Promise<CommandOutcome> {
    return this.run({ verb: 'profile', image, action: 'record' });
  }

  /** The number of the snapshot that a tag leads to now. NOT_FOUND. */
  async tagged(image: string, tag: string): Promise<number> {
    return (await this.#find(image)).tagged(tag, 'now');
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
    if (command.verb === 'help')
      return this.#record('help', image ?? null, () => Promise.resolve({ help: helpOf(image) })).outcome;
    const named = { ...command, image: command.image ?? image };
    return named.verb === 'commit' && named.async ? this.#untilCut(named) : this.run(named);
  }

  /** The outcome of a line that is no command. */
  refuseLine(line: string, image: string | undefined, error: unknown): Promise<CommandOutcome> {
    const shown = line.length > 200 ? `${line.slice(0, 200)}…` : line;
    return this.#record(shown, image ?? null, () => Promise.reject(error)).outcome;
  }

  private run(command: RunnableCommand): Promise<CommandOutcome> {
    return this.#begin(command).outcome;
  }

  async #untilCut(command: RunnableCommand): Promise<CommandOutcome | BegunCommit> {
    const cut = withResolvers<CommitCut>();
    const { begun, outcome } = this.#begin(command, cut.resolve);
    return Promise.race([outcome, cut.promise.then(({ pauseMs }) => ({ ...begun, pauseMs }))]);
  }

  #begin(command: RunnableCommand, onCut?: (cut: CommitCut) => void): Begun {
    const image = command.image ?? null;
    return this.#record(formatControlCommand(command), image, async () => {
      if (this.options.readOnly && changesSomething(command))
        throw new LazydiskError('READ_ONLY', 'This mount is read-only: mount without --read-only to change images.');
      if (this.runningCount() > MAX_RUNNING_COMMANDS) {
        throw new LazydiskError('BUSY', `${MAX_RUNNING_COMMANDS} commands are running: wait for one to end.`);
      }
      return this.#execute(command, image ?? '', onCut);
    });
  }

  async #execute(
    command: RunnableCommand,
    image: string,
    onCut: ((cut: CommitCut) => void) | undefined,
  ): Promise<CommitOutcome | CloneOutcome | RevertResult | UnlockResult | HydrateOutcome | ProfileResult> {
    const { catalogue } = this.options;
    switch (command.verb) {
      case 'commit':
        assertLabel(command.label);
        if (command.as !== undefined) assertImageName(command.as);
        return (await this.#find(image)).commit({ label: command.label, as: command.as, onCut });
      case 'clone':
        assertImageName(command.newName);
        return catalogue.clone(image, command.newName, { ...command, number: await this.#numberOf(image, command) });
      case 'revert': {
        const number = await this.#numberOf(image, command);
        await afterRelease(async () => (await this.#find(image)).revert(number));
        return { image, number: number ?? null };
      }
      case 'unlock':
        await afterRelease(() => catalogue.unlock(image));
        return { image };
      case 'hydrate':
        return (await this.#find(image)).hydrate(await this.#numberOf(image, command));
      case 'profile':
        return { image, profile: await profileAfter(await this.#find(image), command.action) };
    }
  }

  async #numberOf(image: string, { number, tag }: SnapshotWord): Promise<number | undefined> {
    return tag === undefined ? number : this.tagged(image, tag);
  }

  async #find(name: string): Promise<Image> {
    const image = await this.options.catalogue.find(name);
    if (image === undefined)
      throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`, { facts: { image: name } });
    return image;
  }

  #record(command: string, image: string | null, work: () => Promise<unknown>): Begun {
    const { outcomes, now } = this.options;
    const begun: RunningCommand = { id: `${this.#run}-${++this.#count}`, command, image, startedAt: isoTime(now()) };
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

/** What a read-only mount refuses. Its cache is its own. */
function changesSomething(command: RunnableCommand): boolean {
  return command.verb !== 'hydrate' && !(command.verb === 'profile' && command.action === 'show');
}

async function profileAfter(image: Image, action: ProfileAction): Promise<BootProfile | null> {
  if (action === 'record') return image.recordProfile();
  if (action === 'drop') await image.dropProfile();
  return image.profile();
}

/** Throws what a failed outcome says; the code is the same that the verb rejected with. */
export function throwIfFailed(outcome: CommandOutcome): void {
  if (outcome.ok) return;
  const { code, message, facts } = outcome.error ?? { code: 'IO', message: 'The command failed without saying why.' };
  throw new LazydiskError(code, message, { facts: { ...facts, commandId: outcome.id } });
}

function helpOf(image: string | undefined): readonly string[] {
  const scope: Scope = image === undefined ? 'mount' : 'image';
  return HELP[scope];
}

function outcomeError(error: unknown): OutcomeError {
  if (!(error instanceof LazydiskError)) return { code: 'IO', message: messageOf(error) };
  const { code, message, facts } = error;
  return Object.keys(facts).length === 0 ? { code, message } : { code, message, facts };
}

/** Runs work that is BUSY while a head is open; tries again for a short while. */
async function afterRelease(work: () => Promise<void>): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += RELEASE_POLL_MS) {
    try {
      return await work();
    } catch (error) {
      if (!hasCode(error, 'BUSY') || waitedMs >= RELEASE_GRACE_MS) throw error;
    }
    await delay(RELEASE_POLL_MS);
  }
}

function assertLabel(label: string): void {
  if (label.length <= MAX_LABEL_LENGTH) return;
  throw new LazydiskError('USAGE', `Expected a label of at most ${MAX_LABEL_LENGTH} characters, got ${label.length}.`);
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
