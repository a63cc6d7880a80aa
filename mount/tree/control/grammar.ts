/**
 * The grammar of control files: one line is one command.
 *
 *     commit [--async] [--as NEW] [LABEL…]     clone NEW [SNAPSHOT] [--commit] [--local] [--size N]
 *     revert [SNAPSHOT]                              unlock
 *     profile show|record|drop                 hydrate [SNAPSHOT]
 *     help
 *
 * SNAPSHOT is `@N`, or `:TAG`.
 * In the control file of the whole mount every verb but `help` takes the image as its first word (`clone SRC NEW @3`).
 * Words are separated by blanks and tabs; a label is the rest of its line, after `--` whatever it begins with. Pure: a line in, a command or one sentence out. It
 * does not know which images there are.
 */
import { isTagName } from '../../../lib/format/keys.js';
import { bytesOf } from '../../../lib/util/byte-sizes.js';
import { LazydiskError } from '../../../lib/util/errors.js';

/** Whose control file a line was written to. */
export type Scope = 'mount' | 'image';

/** Which snapshot a line means: at most one of the two. */
export interface SnapshotWord {
  readonly number: number | undefined;
  readonly tag?: string | undefined;
}

/** A command as its line says it. `image` is undefined in an image's own file. */
export type ControlCommand =
  | {
      readonly verb: 'commit';
      readonly image: string | undefined;
      readonly label: string;
      /** Name of the new image that the changes are saved as. */
      readonly as: string | undefined;
      /** Not to wait for more than the cut. */
      readonly async: boolean;
    }
  | ({
      readonly verb: 'clone';
      readonly image: string | undefined;
      readonly newName: string;
      readonly commit: boolean;
      readonly local: boolean;
      /** Bytes; undefined: as large as the source. */
      readonly sizeBytes: number | undefined;
    } & SnapshotWord)
  | ({ readonly verb: 'hydrate' | 'revert'; readonly image: string | undefined } & SnapshotWord)
  | { readonly verb: 'unlock'; readonly image: string | undefined }
  | { readonly verb: 'profile'; readonly image: string | undefined; readonly action: ProfileAction }
  | { readonly verb: 'help' };

/** What can be done with a boot profile. */
export type ProfileAction = 'show' | 'record' | 'drop';

/** What `help` answers. */
export const HELP: Record<Scope, readonly string[]> = {
  mount: [
    'clone SRC NEW [SNAPSHOT] [--commit] [--local] [--size N]: make the image NEW from a snapshot of SRC (else the newest); --local: on this host only; --size 40G: larger',
    'commit IMAGE [--async] [--as NEW] [LABEL…]: publish what was written to IMAGE/disk.raw as its next snapshot; --as: as a new image',
    'revert IMAGE [SNAPSHOT]: throw away what was not committed; disk.raw must not be open',
    'unlock IMAGE: give up the lock of an image without changes, so that another host can write',
    'hydrate IMAGE [SNAPSHOT]: fetch all of what IMAGE/disk.raw stands on, or of a snapshot, so that it needs the store no more',
    'profile IMAGE show|record|drop: the boot profile of IMAGE; record keeps what was read of disk.raw since the mount has it',
    'help: this list; SNAPSHOT is @N or :TAG',
  ],
  image: [
    'commit [--async] [--as NEW] [LABEL…]: publish what was written to disk.raw as the next snapshot; --as: as a new image',
    'clone NEW [SNAPSHOT] [--commit] [--local] [--size N]: make the image NEW from a snapshot (else the newest); --local: on this host only; --size 40G: larger',
    'revert [SNAPSHOT]: throw away what was not committed; disk.raw must not be open',
    'unlock: give up the lock of an image without changes, so that another host can write',
    'hydrate [SNAPSHOT]: fetch all of what disk.raw stands on, or of a snapshot, so that it needs the store no more',
    'profile show|record|drop: the boot profile; record keeps what was read of disk.raw since the mount has it',
    'help: this list; SNAPSHOT is @N or :TAG',
  ],
};

/** Parses one line without its newline. Undefined for a blank one. USAGE with one sentence. */
export function parseControlLine(scope: Scope, line: string): ControlCommand | undefined {
  const text = line.trim();
  if (text === '') return undefined;
  assertPrintable(text);
  const [verb, afterVerb] = takeWord(text);
  if (verb === 'help') {
    assertNothing(verb, words(afterVerb));
    return { verb };
  }
  if (!isVerb(verb)) {
    throw usage(
      `Expected commit, clone, revert, unlock, hydrate, profile or help, got ${quoted(verb)}: write help to see them all.`,
    );
  }
  const [image, rest] = scope === 'mount' ? takeImage(verb, afterVerb) : [undefined, afterVerb];
  switch (verb) {
    case 'commit':
      return { verb, image, ...parseCommit(rest) };
    case 'clone':
      return { verb, image, ...parseClone(words(rest)) };
    case 'revert':
    case 'hydrate':
      return { verb, image, ...parseOnlySnapshot(verb, words(rest)) };
    case 'profile':
      return { verb, image, action: parseAction(words(rest)) };
    case 'unlock':
      assertNothing(verb, words(rest));
      return { verb, image };
  }
}

/** The line of a command, as the parser would read it back. */
export function formatControlCommand(command: ControlCommand): string {
  const parts: string[] = [command.verb];
  if (command.verb !== 'help' && command.image !== undefined) parts.push(command.image);
  if (command.verb === 'commit') {
    if (command.async) parts.push('--async');
    if (command.as !== undefined) parts.push('--as', command.as);
    if (command.label.startsWith('--')) parts.push('--');
    if (command.label !== '') parts.push(command.label);
  }
  if (command.verb === 'clone') parts.push(command.newName);
  if ('number' in command && command.number !== undefined) parts.push(`@${command.number}`);
  if ('tag' in command && command.tag !== undefined) parts.push(`:${command.tag}`);
  if (command.verb === 'profile') parts.push(command.action);
  if (command.verb === 'clone' && command.commit) parts.push('--commit');
  if (command.verb === 'clone' && command.local) parts.push('--local');
  if (command.verb === 'clone' && command.sizeBytes !== undefined) parts.push('--size', String(command.sizeBytes));
  return parts.join(' ');
}

const VERBS = ['commit', 'clone', 'revert', 'unlock', 'hydrate', 'profile'] as const;

function isVerb(word: string): word is (typeof VERBS)[number] {
  return (VERBS as readonly string[]).includes(word);
}

function takeWord(text: string): [word: string, rest: string] {
  const end = text.search(/[ \t]/);
  return end < 0 ? [text, ''] : [text.slice(0, end), text.slice(end).trim()];
}

function takeImage(verb: string, text: string): [image: string, rest: string] {
  const [image, rest] = takeWord(text);
  if (image === '') throw usage(`Expected the name of an image after ${verb}, got nothing.`);
  if (image.startsWith('-')) throw usage(`Expected the name of an image after ${verb}, got ${quoted(image)}.`);
  return [image, rest];
}

function words(text: string): string[] {
  return text.split(/[ \t]+/).filter((word) => word !== '');
}

function parseCommit(text: string): { label: string; as: string | undefined; async: boolean } {
  let async = false;
  let as: string | undefined;
  for (let label = text; ;) {
    const [word, rest] = takeWord(label);
    if (word === '--async') {
      async = true;
      label = rest;
    } else if (word === '--as') {
      [as, label] = takeWord(rest);
      if (as === '') throw usage('Expected the name of the new image after --as, got nothing.');
    } else if (word === '--') {
      return { label: rest, as, async };
    } else if (word.startsWith('--')) {
      throw usage(
        `Expected --async, --as NEW or a label after commit, got ${quoted(word)}; a label like that follows --.`,
      );
    } else {
      return { label, as, async };
    }
  }
}

function parseClone(
  args: readonly string[],
): { newName: string; commit: boolean; local: boolean; sizeBytes: number | undefined } & SnapshotWord {
  const { sizeBytes, others } = takeSize(args);
  const commit = others.includes('--commit');
  const local = others.includes('--local');
  const isSnapshot = (word: string): boolean => word.startsWith('@') || word.startsWith(':');
  const snapshots = others.filter(isSnapshot);
  const names = others.filter((word) => word !== '--commit' && word !== '--local' && !isSnapshot(word));
  const [newName, ...surplus] = names;
  if (newName === undefined) throw usage('Expected the name of the new image after clone, got nothing.');
  assertNothing('clone', [...surplus, ...snapshots.slice(1)]);
  return { newName, ...parseSnapshot(snapshots[0]), commit, local, sizeBytes };
}

/** `--size N` among other words. */
function takeSize(args: readonly string[]): { sizeBytes: number | undefined; others: readonly string[] } {
  const at = args.indexOf('--size');
  if (at < 0) return { sizeBytes: undefined, others: args };
  const sizeBytes = bytesOf(args[at + 1] ?? '');
  if (sizeBytes === undefined)
    throw usage(`Expected a size such as 40G after --size, got ${quoted(args[at + 1] ?? '')}.`);
  return { sizeBytes, others: args.toSpliced(at, 2) };
}

function parseOnlySnapshot(verb: string, args: readonly string[]): SnapshotWord {
  assertNothing(verb, args.slice(1));
  return parseSnapshot(args[0]);
}

function parseAction(args: readonly string[]): ProfileAction {
  const [action, ...surplus] = args;
  if (action !== 'show' && action !== 'record' && action !== 'drop') {
    throw usage(`Expected show, record or drop after profile, got ${quoted(action ?? '')}.`);
  }
  assertNothing('profile', surplus);
  return action;
}

/** `@N`, eight digits at most, as in the repository; or `:TAG`. */
function parseSnapshot(word: string | undefined): SnapshotWord {
  if (word === undefined) return { number: undefined };
  if (word.startsWith(':') && isTagName(word.slice(1))) return { number: undefined, tag: word.slice(1) };
  const digits = /^@([1-9]\d{0,7})$/.exec(word)?.[1];
  if (digits === undefined) throw usage(`Expected a snapshot as @N with N from 1, or as :TAG, got ${quoted(word)}.`);
  return { number: Number(digits) };
}

function assertNothing(verb: string, surplus: readonly string[]): void {
  if (surplus.length > 0) throw usage(`Expected nothing more after ${verb}, got ${quoted(surplus.join(' '))}.`);
}

function assertPrintable(text: string): void {
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if ((code < 0x20 && character !== '\t') || (code >= 0x7f && code < 0xa0)) {
      throw usage('Expected a line of text, got a control character in it.');
    }
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function usage(message: string): LazydiskError {
  return new LazydiskError('USAGE', message);
}
