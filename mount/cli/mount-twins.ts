/**
 * The -o options of mount(8) and fstab(5), as options of `lazydisk mount`.
 *
 * Every option of the verb has a twin of its name, with `_` where it has `-` (either is taken): `--cache-size 20G` is
 * `cache_size=20G`, `--allow-other` is `allow_other`. Beside the twins there are the words of mount(8) itself. Some have a
 * meaning here (`ro`, `rw`, `exec`); some are for mount(8), systemd or the kernel's habits and change nothing. `nosuid` and
 * `nodev` hold always. Whatever else comes is refused by name, since an option that is passed over is a promise broken.
 * Of two that disagree, the later one counts.
 */
import type { Options } from 'yargs';
import { LazydiskError } from '../../lib/util/errors.js';
import { COMMON_OPTIONS } from './common-options.js';
import { MOUNT_OPTIONS } from './mount-options.js';

/** mount(8) wants to be told when it is done, in words. */
const WITHOUT_TWIN: readonly string[] = ['json', 'foreground'];

/** The options that can be given by -o, under their names on the command line. */
export const TWINS: ReadonlyMap<string, Options> = new Map(
  Object.entries({ ...COMMON_OPTIONS, ...MOUNT_OPTIONS }).filter(([name]) => !WITHOUT_TWIN.includes(name)),
);

/** Words of mount(8) for options of the verb, and whether they set it. */
const SWITCHES: ReadonlyMap<string, readonly [option: string, on: boolean]> = new Map([
  ['ro', ['read-only', true]],
  ['rw', ['read-only', false]],
  ['exec', ['noexec', false]],
]);

/** Words that change nothing: for others than us, or true of every mount. */
const IDLE: ReadonlySet<string> = new Set([
  ...['defaults', 'auto', 'noauto', 'nofail', 'fail', '_netdev', 'comment', 'silent', 'loud'],
  ...['user', 'nouser', 'users', 'owner', 'group'],
  ...['suid', 'nosuid', 'dev', 'nodev', 'async'],
  ...['atime', 'noatime', 'diratime', 'nodiratime', 'relatime', 'norelatime', 'strictatime', 'nostrictatime'],
  ...['lazytime', 'nolazytime'],
]);
/** Namespaces that mount(8) keeps for those around it. */
const IDLE_PREFIXES: readonly string[] = ['x-', 'X-'];

/** How the twin of an option is spelled, as the docs show it: `cache_size=…`, `allow_other`. */
export function twinOf(name: string, option: Options): string {
  const spelled = name.replaceAll('-', '_');
  return option.type === 'boolean' ? spelled : `${spelled}=…`;
}

/**
 * Words of `lazydisk mount` for the text behind -o. USAGE: an option that is not known (passed over when `sloppy`), a value
 * that is missing or too much.
 */
export function wordsOfTwins(text: string, { sloppy = false }: { readonly sloppy?: boolean } = {}): string[] {
  const given = new Map<string, string | undefined>();
  for (const option of splitOptions(text)) {
    const at = option.indexOf('=');
    const name = at === -1 ? option : option.slice(0, at);
    const value = at === -1 ? undefined : option.slice(at + 1);
    apply(given, name, value, sloppy);
  }
  return [...given].map(([name, value]) => (value === undefined ? `--${name}` : `--${name}=${value}`));
}

function apply(given: Map<string, string | undefined>, name: string, value: string | undefined, sloppy: boolean): void {
  const change = value === undefined ? SWITCHES.get(name) : undefined;
  if (change !== undefined) {
    const [option, on] = change;
    given.delete(option);
    if (on) given.set(option, undefined);
    return;
  }
  if (IDLE.has(name) || IDLE_PREFIXES.some((prefix) => name.startsWith(prefix))) return;
  const option = name.replaceAll('_', '-');
  const twin = TWINS.get(option);
  if (twin === undefined) {
    if (sloppy) return;
    throw new LazydiskError('USAGE', unknown(name));
  }
  if (twin.type === 'boolean' && value !== undefined) {
    throw new LazydiskError('USAGE', `The mount option ${name} takes no value: write ${twinOf(option, twin)}.`);
  }
  if (twin.type !== 'boolean' && (value === undefined || value === '')) {
    throw new LazydiskError('USAGE', `The mount option ${name} needs a value: write ${twinOf(option, twin)}.`);
  }
  given.delete(option);
  given.set(option, value);
}

function unknown(name: string): string {
  if (name === 'remount') return 'A lazydisk mount can’t be remounted: unmount it, and mount it with the new options.';
  return `The mount option ${JSON.stringify(name)} is not known: they are the options of \`lazydisk mount --help\`, with _ for -.`;
}

/** Parts between commas. A value in double quotes may hold commas, as in `context="system_u:object_r:x:s0:c1,c2"`. */
function splitOptions(text: string): string[] {
  const parts = text.match(/(?:[^,"]|"[^"]*"|")+/g) ?? [];
  return parts.map((part) => part.replace(/="([^"]*)"$/, '=$1'));
}
