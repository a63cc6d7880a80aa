/** The completion for zsh, whole: a list of verbs with their summaries, and what `_arguments` wants to know of each. */
import type { Option, Positional, VerbFacts } from '../cli/verb-facts.js';
import { allOptionsOf, VERB_FACTS } from './program-facts.js';
import { wordsOfOption, wordsOfPositional, type Words } from './words.js';

const ACTIONS: Readonly<Record<Exclude<Words['kind'], 'choices'>, string>> = {
  folder: '_files -/',
  file: '_files',
  mountpoint: '_lazydisk_mountpoints',
  image: '_lazydisk_images',
  word: ' ',
};

const FUNCTIONS = `_lazydisk_mountpoints() {
  local -a mountpoints
  local source folder type rest
  while read -r source folder type rest; do
    [[ $type != fuse.lazydisk ]] || mountpoints+=("\${(g::)folder}")
  done </proc/self/mounts
  compadd -a mountpoints
  _files -/
}

# Images are the folders of the mount that was named; a repository is not asked, since a Tab must not wait for a store.
_lazydisk_images() {
  local word
  local -a images
  for word in $words; do
    [[ ! -d $word ]] || images+=($word/*(N/:t))
  done
  compadd -a images
}

# Anything: says which argument it is. Not to an option, since a message would keep that from being inserted.
_lazydisk_word() {
  [[ $PREFIX == -* ]] || _message -e $argv[-1]
}`;

export function zshCompletion(verbs: readonly VerbFacts[] = VERB_FACTS): string {
  return `#compdef lazydisk
# Made from the declarations of the verbs.

${FUNCTIONS}

_lazydisk() {
  local curcontext=$curcontext state
  local -a verbs
  verbs=(
${verbs.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join('\n')}
  )
  _arguments -C '(- *)--help[show help]' '(- *)--version[show the version]' '1: :->verb' '*:: :->arguments' && return
  if [[ $state == verb ]]; then
    _describe -t verbs verb verbs
    return
  fi
  case $words[1] in
${verbs.map(branchOf).join('\n')}
  esac
}

_lazydisk "$@"
`;
}

function branchOf(verb: VerbFacts): string {
  const specs = [
    ...allOptionsOf(verb).map(optionSpec),
    ...verb.positionals.map((positional, at) => positionalSpec(verb.name, positional, at)),
  ];
  return `    ${verb.name})\n      _arguments -S ${specs.map(quoted).join(' \\\n        ')}\n      ;;`;
}

function optionSpec(option: Option): string {
  const value = option.takesValue ? `:value:${actionOf(wordsOfOption(option))}` : '';
  return `--${option.name}${option.takesValue ? '=' : ''}[${option.meaning.replaceAll(/[[\]:\\]/g, '\\$&')}]${value}`;
}

function positionalSpec(verb: string, positional: Positional, at: number): string {
  const place = positional.repeated ? '*' : String(at + 1);
  const words = wordsOfPositional(verb, positional);
  const action = words.kind === 'word' ? `_lazydisk_word ${positional.name}` : actionOf(words);
  return `${place}${positional.optional && !positional.repeated ? '::' : ':'}${positional.name}:${action}`;
}

function actionOf(words: Words): string {
  return words.kind === 'choices' ? `(${words.choices.join(' ')})` : ACTIONS[words.kind];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
