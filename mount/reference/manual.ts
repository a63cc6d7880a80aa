/** The man pages lazydisk(8) and mount.lazydisk(8). */
import { EXIT_STATUS_HELP } from '../cli/exit-status.js';
import { twinOf, TWINS } from '../cli/mount-twins.js';
import { ENVIRONMENT } from './environment.js';
import type { Option, VerbFacts } from '../cli/verb-facts.js';
import { COMMON, usageOf, VERB_FACTS } from './program-facts.js';
import { entry, heading, literal, paragraph, roff, subheading } from './roff.js';

const DESCRIPTION = [
  'lazydisk mounts a bucket of virtual-machine images. Each image is a folder with its snapshots (1.raw, 2.raw, latest.raw; read-only and complete) and its head (disk.raw: the newest snapshot plus what was written here). A hypervisor opens them at once; only the parts that it touches travel.',
  'What a guest writes stays on the local disk until lazydisk commit publishes the difference as a new snapshot. A clone costs one small object, whatever the size of the image.',
  'WHERE is a repository (s3://bucket/prefix, file:///dir) or the mountpoint of a live mount of it. Sizes take K, M, G, T (powers of 1024). lazydisk doctor says what is missing on a host.',
];

const FILES: readonly (readonly [path: string, meaning: string])[] = [
  [
    '/var/lib/lazydisk/REPOSITORY-ID',
    'local writes of a mount (precious), and its copies of fetched chunks (disposable)',
  ],
  ['~/.local/state/lazydisk/REPOSITORY-ID', 'the same for users other than root'],
  ['/run/lazydisk', 'the live mounts of this host'],
  ['~/.aws/credentials, ~/.aws/config', 'keys, region and endpoint_url of the store'],
];

/** lazydisk(8). */
export function manualPage(version: string): string {
  return page('lazydisk', version, [
    heading('NAME'),
    'lazydisk \\- mount a bucket of virtual\\-machine images as sparse raw files',
    heading('SYNOPSIS'),
    '.B lazydisk\n.I VERB\n.RI [ ARGUMENT \\&...] \n.RI [ OPTION \\&...]'.replace(' \n', '\n'),
    heading('DESCRIPTION'),
    ...DESCRIPTION.map(paragraph),
    heading('OPTIONS OF EVERY VERB'),
    ...COMMON.map(optionEntry),
    entry('--help', '', 'what a verb takes, with examples'),
    entry('--version', '', 'the version'),
    heading('VERBS'),
    ...VERB_FACTS.map(verbSection),
    heading('EXIT STATUS'),
    ...exitStatuses().map(([status, meaning]) => entry(status, '', meaning)),
    heading('ENVIRONMENT'),
    ...ENVIRONMENT.map(({ name, meaning }) => entry(name, '', meaning)),
    heading('FILES'),
    ...FILES.map(([path, meaning]) => entry(path, '', meaning)),
    heading('SEE ALSO'),
    '.BR mount.lazydisk (8),\n.BR fuse (4),\n.BR qemu\\-img (1)',
  ]);
}

/** mount.lazydisk(8). */
export function mountHelperPage(version: string): string {
  return page('mount.lazydisk', version, [
    heading('NAME'),
    'mount.lazydisk \\- helper of mount(8) for lazydisk',
    heading('SYNOPSIS'),
    '.B mount \\-t lazydisk\n.I SPEC DIR\n.RB [ \\-sfnv ]\n.RB [ \\-o\n.IR OPTION ,...]',
    heading('DESCRIPTION'),
    paragraph(
      'Mounts the repository SPEC (s3://bucket/prefix, file:///dir) on DIR, as lazydisk mount does. mount(8) calls it; no variable of the environment is needed.',
    ),
    literal(['s3://images/prod /mnt lazydisk _netdev,nofail,allow_other,credentials=/etc/lazydisk/credentials 0 0']),
    heading('OPTIONS'),
    paragraph(
      'Every option of lazydisk mount, with _ or - between its words. ro, rw, exec and noexec mean what they mean elsewhere; nosuid and nodev hold always. What is for mount(8) and systemd (defaults, auto, nofail, _netdev, user, x-...) is accepted; anything else is refused by name.',
    ),
    ...[...TWINS].map(([name, option]) => entry(twinOf(name, option), '', option.describe ?? '')),
    heading('EXIT STATUS'),
    entry('0', '', 'mounted'),
    entry('32', '', 'not mounted; one sentence says why'),
    heading('SEE ALSO'),
    '.BR lazydisk (8),\n.BR mount (8),\n.BR fstab (5)',
  ]);
}

function page(name: string, version: string, parts: readonly string[]): string {
  return [`.TH ${roff(name.toUpperCase())} 8 "" "lazydisk ${roff(version)}"`, '.nh', '.ad l', ...parts, ''].join('\n');
}

function verbSection(verb: VerbFacts): string {
  const { summary, positionals, options, examples } = verb;
  return [
    subheading(usageOf(verb)),
    `${roff(summary)}.`,
    ...positionals.map(({ name, meaning, choices }) => entry(name.toUpperCase(), '', withChoices(meaning, choices))),
    ...options.map(optionEntry),
    literal(examples.flatMap(({ commandLine, meaning }) => [`# ${meaning}`, `lazydisk ${commandLine}`])),
  ].join('\n');
}

function optionEntry({ name, takesValue, meaning, choices, byDefault }: Option): string {
  const fallback = byDefault === null ? '' : ` (default: ${byDefault})`;
  return entry(`--${name}`, takesValue ? ' VALUE' : '', `${withChoices(meaning, choices)}${fallback}`);
}

function withChoices(meaning: string, choices: readonly string[]): string {
  return choices.length === 0 ? meaning : `${choices.join(', ')}: ${meaning}`;
}

/** From the end of the help texts. */
function exitStatuses(): (readonly [status: string, meaning: string])[] {
  return [...EXIT_STATUS_HELP.matchAll(/^ {2}(\d) {2}(.+)$/gm)].map(([, status = '', meaning = '']) => [
    status,
    meaning,
  ]);
}
