/**
 * What every verb has in common: how it is declared, the options that all take, its help, and how it meets the world.
 *
 * A verb is a function that adds itself to the program, so that the types of its own options stay inside its file.
 */
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { LEAST_PACED_BYTES_PER_SECOND } from '../../lib/store/pacing.js';
import type { AddressingStyle } from '../../lib/store/s3-settings.js';
import { LazydiskError } from '../../lib/util/errors.js';
import type { Registry } from '../service/registry.js';
import { EXIT_STATUS_HELP } from './exit-status.js';
import type { Output } from './output.js';
import { parseRate } from './sizes.js';
import { optionsWithValue } from './verb-facts.js';

/** What declarations are made of, for others that read them (mount/reference). */
export type { Argv, Options, PositionalOptions } from 'yargs';

/** Options of all verbs. */
export interface CommonOptions {
  readonly json: boolean;
  readonly endpoint: string | undefined;
  readonly noSignRequest: boolean;
  readonly addressing: AddressingStyle | undefined;
  readonly timeout: string | undefined;
}

/** What a verb works with beside its arguments. */
export interface VerbContext {
  readonly output: Output;
  readonly registry: Registry;
  /** As the store is to see it: with what options of all verbs say. */
  readonly environment: NodeJS.ProcessEnv;
  /** Who runs it. */
  readonly uid: number;
}

export interface VerbDefinition<Options> {
  /** As yargs spells it: `clone <where> <image> <new-image>`. */
  readonly command: string;
  readonly summary: string;
  /** Command lines without the program's name, and what they do. */
  readonly examples: readonly (readonly [commandLine: string, meaning: string])[];
  readonly options: (program: Argv<CommonOptions>) => Argv<Options>;
  readonly run: (options: ArgumentsCamelCase<Options>, context: VerbContext) => Promise<void>;
}

/** Adds a verb to the program. */
export type Verb = (
  program: Argv<CommonOptions>,
  contextOf: (options: CommonOptions) => VerbContext,
) => Argv<CommonOptions>;

/**
 * The verb of a command line that was understood. It is thrown, because yargs goes on after a handler that returns: it lays
 * out the help of the verb, which takes as long as a third of all else that a command does, and nobody has asked for it.
 */
export class ChosenVerb extends Error {
  constructor(readonly run: () => Promise<void>) {
    super('A verb was chosen.');
  }
}

export function defineVerb<Options extends CommonOptions>(verb: VerbDefinition<Options>): Verb {
  return (program, contextOf) =>
    program.command(
      verb.command,
      verb.summary,
      (own: Argv<CommonOptions>) => {
        for (const [commandLine, meaning] of verb.examples) own.example(`$0 ${commandLine}`, meaning);
        const declared = verb.options(own).epilogue(EXIT_STATUS_HELP);
        // Else yargs takes an option that stands without its value for one that was not given.
        return declared.requiresArg(optionsWithValue(verb.command, verb.options));
      },
      (options) => {
        throw new ChosenVerb(() => verb.run(withDashes(options), contextOf(options)));
      },
    );
}

/**
 * Work that cleans up behind itself when the user interrupts it: the first SIGINT or SIGTERM aborts the signal, another one
 * ends the process as usual.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const interrupt = (): void => {
    interruption.abort();
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    return await work(interruption.signal);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    throw new LazydiskError('ABORTED', 'Interrupted: the work was given up.', { cause: error });
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

/** How words are read: nothing is guessed, and of an option that is given twice the last one counts. */
export const PARSER = {
  'duplicate-arguments-array': false,
  'parse-numbers': false,
  'parse-positional-numbers': false,
  'dot-notation': false,
  'boolean-negation': false,
} as const;

/** Stands for a lone dash while yargs parses, which would make it an empty word. */
export const DASH = '\u0000-';

/** Words of a command line as yargs can parse them. */
export function parsableWords(words: readonly string[]): string[] {
  return words.map((word) => (word === '-' ? DASH : word));
}

/** The same options, with dashes where they were. */
function withDashes<Options extends object>(options: Options): Options {
  const restored = Object.entries(options).map(([name, value]: [string, unknown]) => [
    name,
    value === DASH ? '-' : value,
  ]);
  return Object.fromEntries(restored) as Options;
}

/** A whole number of an option. USAGE. */
export function parseCount(text: string, option: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${String(least)}` : `from ${String(least)} to ${String(most)}`;
  throw new LazydiskError('USAGE', `${option} takes a whole number ${range}, not ${JSON.stringify(text)}.`);
}

/** Seconds of an option, as milliseconds; fractions are fine, 0 means for ever. USAGE. */
export function parseSeconds(text: string, option: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN;
  if (Number.isFinite(seconds) && seconds < 1e9) return Math.round(seconds * 1000);
  throw new LazydiskError('USAGE', `${option} takes seconds (0: for ever), not ${JSON.stringify(text)}.`);
}

/** How long a verb of the command line tries to reach the store, when `--timeout` is not given. */
const DEFAULT_VERB_TIMEOUT_MS = 30_000;

export function storeTimeoutMs(options: CommonOptions): number {
  return options.timeout === undefined ? DEFAULT_VERB_TIMEOUT_MS : parseSeconds(options.timeout, '--timeout');
}

/** What `--max-upload` says; null: no limit. */
export function maxUploadBytesPerSecond({ maxUpload }: { readonly maxUpload: string | undefined }): number | null {
  return maxUpload === undefined ? null : parseRate(maxUpload, '--max-upload', LEAST_PACED_BYTES_PER_SECOND);
}

/** The WHERE argument of a verb. */
export const WHERE = {
  type: 'string',
  demandOption: true,
  describe: 'repository (s3://bucket/prefix, file:///dir) or mountpoint',
} as const;

/** The mountpoint argument of a verb that needs a head. */
export const MOUNTPOINT = { type: 'string', demandOption: true, describe: 'mountpoint of a live mount' } as const;
