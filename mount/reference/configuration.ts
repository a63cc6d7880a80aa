/** docs/CONFIGURATION.md: every verb, option, -o twin and environment variable, as `make docs` writes it. */
import { twinOf, TWINS } from '../cli/mount-twins.js';
import { ENVIRONMENT } from './environment.js';
import { COMMON, usageOf, VERB_FACTS } from './program-facts.js';
import type { Option, VerbFacts } from '../cli/verb-facts.js';

const HEAD = `# Configuration

Every verb, option, mount option and environment variable. This page is made from what \`lazydisk --help\` is made from: change
the declaration of the verb (\`mount/cli\`), then \`make docs\`. There is no configuration file: what a mount should be stands in
its command line, in \`/etc/fstab\` or in its unit.

Sizes take \`K\`, \`M\`, \`G\`, \`T\` (powers of 1024), times \`s\`, \`m\`, \`h\`, \`d\` where a unit is asked for. WHERE is a repository
(\`s3://bucket/prefix\`, \`file:///dir\`) or the mountpoint of a live mount of it.`;

/** The whole page. */
export function configurationPage(): string {
  const sections = [
    HEAD,
    '## Options of every verb',
    optionTable(COMMON),
    `Beside them \`--help\` and \`--version\`. \`lazydisk doctor\` says what is missing on this host.`,
    '## Verbs',
    table(
      ['verb', 'what it does'],
      VERB_FACTS.map(({ name, summary }) => [`[${name}](#lazydisk-${name})`, summary]),
    ),
    ...VERB_FACTS.map(verbSection),
    '## Options of mount(8) and /etc/fstab',
    `\`mount -t lazydisk SPEC DIR -o …\` takes every option of \`lazydisk mount\` by a twin of its name; \`_\` and \`-\` are the same.`,
    table(
      ['-o', 'is'],
      [...TWINS].map(([name, option]) => [`\`${twinOf(name, option)}\``, `\`--${name}\``]),
    ),
    '`ro`, `rw`, `exec` and `noexec` mean what they mean elsewhere; `nosuid` and `nodev` hold always. What is for mount(8) and systemd (`defaults`, `auto`, `nofail`, `_netdev`, `user`, `x-…` and the like) is accepted. Anything else is refused by name.',
    '## Environment',
    table(
      ['variable', 'meaning'],
      ENVIRONMENT.map(({ name, meaning }) => [`\`${name}\``, meaning]),
    ),
  ];
  return `${sections.join('\n\n')}\n`;
}

function verbSection(verb: VerbFacts): string {
  const positionals = verb.positionals.map(({ name, meaning, choices }) => [
    `\`${name.toUpperCase()}\``,
    withChoices(meaning, choices),
  ]);
  const examples = verb.examples.map(({ commandLine, meaning }) => `lazydisk ${commandLine}  # ${meaning}`);
  return [
    `### lazydisk ${verb.name}`,
    `${verb.summary}.`,
    `    ${usageOf(verb)}`,
    ...(positionals.length === 0 ? [] : [table(['argument', 'meaning'], positionals)]),
    ...(verb.options.length === 0 ? [] : [optionTable(verb.options)]),
    ['```sh', ...examples, '```'].join('\n'),
  ].join('\n\n');
}

function optionTable(options: readonly Option[]): string {
  return table(
    ['option', 'meaning'],
    options.map(({ name, takesValue, meaning, choices, byDefault }) => [
      `\`--${name}${takesValue ? ' …' : ''}\``,
      withChoices(meaning, choices, byDefault),
    ]),
  );
}

function withChoices(meaning: string, choices: readonly string[], byDefault: string | null = null): string {
  const words = choices.map((choice) => `\`${choice}\``).join(', ');
  const fallback = byDefault === null ? '' : ` (default: \`${byDefault}\`)`;
  return `${choices.length === 0 ? meaning : `${words}: ${meaning}`}${fallback}`;
}

function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll(/(?<!`[^`]*)</g, '\\<').replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(heading), line(heading.map(() => '---')), ...rows.map(line)].join('\n');
}
