/**
 * The completion for bash: tables made from the facts, and one function that reads them (completion.bash beside the other
 * packaging files). No process is started at a Tab, so it is as fast as the shell; images of a mount are looked up as folders.
 */
import type { VerbFacts } from '../cli/verb-facts.js';
import { allOptionsOf, VERB_FACTS } from './program-facts.js';
import { wordsOfOption, wordsOfPositional, type Words } from './words.js';

/** The tables. Words that may hold anything are left out. */
export function bashTables(verbs: readonly VerbFacts[] = VERB_FACTS): string {
  const options = verbs.map((verb) => [verb.name, allOptionsOf(verb).map(({ name }) => `--${name}`)] as const);
  const valued = verbs.map(
    (verb) =>
      [
        verb.name,
        allOptionsOf(verb)
          .filter(({ takesValue }) => takesValue)
          .map(({ name }) => `--${name}`),
      ] as const,
  );
  return [
    `_lazydisk_verbs=${quoted(verbs.map(({ name }) => name).join(' '))}`,
    declared('options', options),
    declared('valued', valued),
    declared('words', verbs.flatMap(placesOf)),
  ].join('\n');
}

/** What may stand where: `commit 1` is the second argument of commit, `mount --fill` the value of an option. */
function placesOf(verb: VerbFacts): (readonly [place: string, words: readonly string[]])[] {
  const places: (readonly [string, Words])[] = [
    ...verb.positionals.map(
      (positional, at) => [`${verb.name} ${String(at)}`, wordsOfPositional(verb.name, positional)] as const,
    ),
    ...allOptionsOf(verb)
      .filter(({ takesValue }) => takesValue)
      .map((option) => [`${verb.name} --${option.name}`, wordsOfOption(option)] as const),
  ];
  return places
    .filter(([, words]) => words.kind !== 'word')
    .map(([place, words]) => [place, words.kind === 'choices' ? ['choices', ...words.choices] : [words.kind]]);
}

function declared(name: string, rows: readonly (readonly [key: string, words: readonly string[]])[]): string {
  return [
    `declare -gA _lazydisk_${name}=(`,
    ...rows.map(([key, words]) => `  [${quoted(key)}]=${quoted(words.join(' '))}`),
    ')',
  ].join('\n');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
