/**
 * What the command line is, as plain facts: the one source of the man page, the completions and docs/CONFIGURATION.md.
 *
 * Verbs declare themselves to yargs (mount/cli/verb.ts), and yargs makes `--help` of it. Here they declare themselves to a
 * recorder with the same methods, so that nothing has to be written twice, and none of these texts can disagree with `--help`.
 */
import type { Argv, CommonOptions, Options, PositionalOptions, Verb } from './verb.js';

/** An argument of a verb, by its place. */
export interface Positional {
  readonly name: string;
  /** `[name]` rather than `<name>`. */
  readonly optional: boolean;
  /** `<name..>`: one or more. */
  readonly repeated: boolean;
  readonly meaning: string;
  readonly choices: readonly string[];
}

/** An option, without its dashes. */
export interface Option {
  readonly name: string;
  readonly takesValue: boolean;
  readonly meaning: string;
  readonly choices: readonly string[];
  /** What holds when it is not given, where the meaning does not say it; null: nothing to say. */
  readonly byDefault: string | null;
}

export interface VerbFacts {
  readonly name: string;
  /** As yargs spells it: `clone <where> <image> <new-image>`. */
  readonly command: string;
  readonly summary: string;
  readonly examples: readonly Example[];
  readonly positionals: readonly Positional[];
  /** Its own, in the order of its help. */
  readonly options: readonly Option[];
}

/** A command line without the program's name, and what it does. */
export interface Example {
  readonly commandLine: string;
  readonly meaning: string;
}

/** The facts of verbs, in their order. */
export function factsOf(verbs: readonly Verb[]): VerbFacts[] {
  return verbs.map((verb) => {
    const facts: VerbFacts[] = [];
    const recorder = {
      command: (command: string, summary: string, declare: (own: Argv<CommonOptions>) => unknown) => {
        facts.push(recordVerb(command, summary, declare));
        return recorder;
      },
    };
    verb(recorder as unknown as Argv<CommonOptions>, () => {
      throw new Error('A verb was run while it was described.');
    });
    const [one] = facts;
    if (one === undefined || facts.length !== 1) throw new Error('A verb must declare one command.');
    return one;
  });
}

/** Names of the options that a verb declares and that take a value. */
export function optionsWithValue(command: string, declare: (own: Argv<CommonOptions>) => unknown): string[] {
  return recordVerb(command, '', declare)
    .options.filter(({ takesValue }) => takesValue)
    .map(({ name }) => name);
}

/** An option as it is declared to yargs. */
export function optionOf(name: string, declared: Options): Option {
  const { type, describe, choices = [] } = declared;
  const isChoice = choices.length > 0;
  const fallback: unknown = declared.default;
  return {
    name,
    takesValue: type !== 'boolean',
    meaning: describe ?? '',
    choices: choices.map(String),
    byDefault: isChoice || typeof fallback === 'string' ? (fallback === undefined ? null : String(fallback)) : null,
  };
}

function recordVerb(command: string, summary: string, declare: (own: Argv<CommonOptions>) => unknown): VerbFacts {
  const examples: Example[] = [];
  const declared = new Map<string, PositionalOptions>();
  const options: Option[] = [];
  const recorder = {
    example: (commandLine: string, meaning: string) => {
      examples.push({ commandLine: commandLine.replace(/^\$0 /, ''), meaning });
      return recorder;
    },
    positional: (name: string, positional: PositionalOptions) => {
      declared.set(name, positional);
      return recorder;
    },
    option: (name: string, option: Options) => {
      options.push(optionOf(name, option));
      return recorder;
    },
    options: (several: Readonly<Record<string, Options>>) => {
      for (const [name, option] of Object.entries(several)) options.push(optionOf(name, option));
      return recorder;
    },
    // What only yargs needs to know.
    epilogue: () => recorder,
    parserConfiguration: () => recorder,
    conflicts: () => recorder,
    implies: () => recorder,
    requiresArg: () => recorder,
    check: () => recorder,
  };
  declare(recorder as unknown as Argv<CommonOptions>);
  const [name = '', ...places] = command.split(' ');
  return {
    name,
    command,
    summary,
    examples,
    options,
    positionals: places.map((place) => positionalOf(place, declared)),
  };
}

function positionalOf(place: string, declared: ReadonlyMap<string, PositionalOptions>): Positional {
  const name = place.replaceAll(/[<>[\].]/g, '');
  const { describe, choices = [] } = declared.get(name) ?? {};
  return {
    name,
    optional: place.startsWith('['),
    repeated: place.includes('..'),
    meaning: describe ?? '',
    choices: choices.map(String),
  };
}
