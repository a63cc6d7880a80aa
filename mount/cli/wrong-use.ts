/**
 * Wrong use of the command line, told by the word that is wrong. yargs says what it has counted ("got 2, need at least 3"); here
 * its complaint becomes a sentence about the verb, from what the verb declares. Only a command line that failed comes here.
 */
import { LazydiskError } from '../../lib/util/errors.js';
import { nearestWord } from './nearest-word.js';
import type { VerbFacts } from './verb-facts.js';

/** Words of other tools, and what they are here. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  check: 'verify',
  create: 'init',
  download: 'export',
  ls: 'list',
  prune: 'gc',
  rm: 'delete',
  rollback: 'revert',
  show: 'info',
  snapshot: 'commit',
  umount: 'unmount',
  upload: 'import',
  version: '--version',
};

/** What yargs said, about which words. */
interface Complaint {
  readonly message: string;
  readonly words: readonly string[];
}

/** A USAGE error. `common`: the options that all verbs have. */
export function wrongUse(complaint: Complaint, verbs: readonly VerbFacts[], common: readonly string[]): LazydiskError {
  const { message, words } = complaint;
  const verb = namedVerb(words, verbs);
  if (verb === undefined) return new LazydiskError('USAGE', unknownVerb(message, verbs) ?? sentence(message));
  const text =
    missingArguments(message, verb) ??
    unknownWord(complaint, verb, common) ??
    wrongChoice(message, verb) ??
    missingValue(message, verb) ??
    bothGiven(message, verb) ??
    sentence(message);
  return new LazydiskError('USAGE', text);
}

/** What follows a wrong use: where it is said how it is right. */
export function whereHelpIs(words: readonly string[], verbs: readonly VerbFacts[]): string {
  const verb = namedVerb(words, verbs);
  return `See \`lazydisk ${verb === undefined ? '' : `${verb.name} `}--help\`.`;
}

function namedVerb(words: readonly string[], verbs: readonly VerbFacts[]): VerbFacts | undefined {
  const first = words.find((word) => !word.startsWith('-'));
  return verbs.find(({ name }) => name === first);
}

function unknownVerb(message: string, verbs: readonly VerbFacts[]): string | undefined {
  const word = firstUnknown(message);
  if (word === undefined) return undefined;
  const names = verbs.map(({ name }) => name);
  const meant = OTHER_NAMES[word] ?? nearestWord(word, names);
  return `There is no verb ${word}${meant === undefined ? '.' : `; did you mean \`lazydisk ${meant}\`?`}`;
}

function missingArguments(message: string, { name, command, positionals }: VerbFacts): string | undefined {
  const got = /^Not enough non-option arguments: got (\d+)/.exec(message)?.[1];
  if (got === undefined) return undefined;
  const missing = positionals.slice(Number(got)).filter(({ optional }) => !optional);
  const names = missing.map((place) => `<${place.name}>`);
  return `${name} needs ${list(names, 'and')}: lazydisk ${command}.`;
}

function unknownWord({ message, words }: Complaint, verb: VerbFacts, common: readonly string[]): string | undefined {
  const unknown = firstUnknown(message);
  if (unknown === undefined) return undefined;
  const option = words.map((word) => word.replace(/=.*/s, '')).find((word) => isOption(word, unknown));
  if (option === undefined) return `${JSON.stringify(unknown)} is one argument too many: lazydisk ${verb.command}.`;
  const meant = nearestWord(unknown, [...verb.options.map(({ name }) => name), ...common]);
  return `${verb.name} has no option ${option}${meant === undefined ? '.' : `; did you mean --${meant}?`}`;
}

/** `-xyz` are three options of one letter. */
function isOption(word: string, name: string): boolean {
  return word === `--${name}` || (/^-[^-]/.test(word) && name.length === 1 && word.includes(name));
}

function wrongChoice(message: string, verb: VerbFacts): string | undefined {
  const [, taker = '', given = '', choices] = /Argument: (\S+), Given: (.*), Choices: (.*)/.exec(message) ?? [];
  if (choices === undefined) return undefined;
  const words = list(choices.replaceAll('"', '').split(', '), 'or');
  // yargs takes an option of choices that stands without a value for a flag.
  const instead = given === 'true' || given === '""' ? '' : `, not ${given}`;
  return `${inUsage(taker, verb)} is ${words}${instead}.`;
}

function missingValue(message: string, verb: VerbFacts): string | undefined {
  const name = /^Not enough arguments following: (\S+)/.exec(message)?.[1];
  if (name === undefined) return undefined;
  const choices = verb.options.find((option) => option.name === name)?.choices ?? [];
  return choices.length === 0 ? `--${name} needs a value.` : `--${name} is ${list(choices, 'or')}.`;
}

function bothGiven(message: string, verb: VerbFacts): string | undefined {
  const [, first = '', second] = /^Arguments (\S+) and (\S+) are mutually exclusive/.exec(message) ?? [];
  if (second === undefined) return undefined;
  return `${verb.name} takes ${inUsage(first, verb)} or ${inUsage(second, verb)}, not both.`;
}

/** `Unknown arguments: foo-bar, fooBar, 3`: only the first is told. */
function firstUnknown(message: string): string | undefined {
  return /^Unknown (?:argument|command)s?: ([^,]*)/.exec(message)?.[1];
}

function inUsage(name: string, { positionals }: VerbFacts): string {
  return positionals.some((place) => place.name === name) ? `<${name}>` : `--${name}`;
}

function list(words: readonly string[], last: 'and' | 'or'): string {
  const [end, ...others] = words.toReversed();
  return others.length === 0 ? (end ?? '') : `${others.toReversed().join(', ')} ${last} ${end ?? ''}`;
}

function sentence(text: string): string {
  const line = text.trim().replaceAll(/\s*\n\s*/g, ' ');
  return /[.!?\u2026]$/.test(line) ? line : `${line}.`;
}
