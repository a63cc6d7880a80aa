/**
 * How a command line names images and snapshots: `name`, `name@3`, `name:stable`, and for deleting `name@3..7`. Which number a
 * tag means is asked where the verb works: of the repository, or of the daemon of a mount.
 */
import { assertImageName, assertTagName, isImageName } from '../../lib/format/keys.js';
import type { Repository } from '../../lib/repository/api.js';
import { taggedNumber } from '../../lib/repository/tags.js';
import { LazydiskError } from '../../lib/util/errors.js';
import type { ControlClient } from '../service/control-client.js';

/** `none`: the newest snapshot, or the whole image, as the verb has it. */
export type SnapshotWord =
  | { readonly kind: 'none' }
  | { readonly kind: 'number'; readonly number: number }
  | { readonly kind: 'tag'; readonly tag: string };

export interface ImageReference {
  readonly image: string;
  readonly snapshot: SnapshotWord;
}

/** Snapshots `first` to `last`, both included. */
export interface SnapshotRange {
  readonly image: string;
  /** undefined: every snapshot of the image. */
  readonly numbers: { readonly first: number; readonly last: number } | undefined;
}

const NUMBER = /^[1-9]\d{0,7}$/;
const REFERENCE = 'NAME, NAME@N or NAME:TAG';

/** `name`, `name@N` or `name:TAG`. USAGE. */
export function parseImageReference(text: string): ImageReference {
  const [name, tag, more] = text.split(':');
  if (tag !== undefined) {
    const image = checkedName(name);
    if (more !== undefined || tag === '') throw wrong(text, REFERENCE);
    assertTagName(tag);
    return { image, snapshot: { kind: 'tag', tag } };
  }
  const [image, number, rest] = text.split('@');
  if (rest !== undefined) throw wrong(text, REFERENCE);
  return {
    image: checkedName(image),
    snapshot:
      number === undefined ? { kind: 'none' } : { kind: 'number', number: parseNumber(number, text, REFERENCE) },
  };
}

/** `name`, `name@N` or `name@N..M`. USAGE. */
export function parseSnapshotRange(text: string): SnapshotRange {
  const expected = 'NAME, NAME@N or NAME@N..M';
  const [name, numbers, rest] = text.split('@');
  if (rest !== undefined) throw wrong(text, expected);
  const image = checkedName(name);
  if (numbers === undefined) return { image, numbers: undefined };
  const ends = numbers.split('..');
  if (ends.length > 2) throw wrong(text, expected);
  const first = parseNumber(ends[0] ?? '', text, expected);
  const last = parseNumber(ends.at(-1) ?? '', text, expected);
  if (last < first) throw wrong(text, 'NAME@N..M with N not above M');
  return { image, numbers: { first, last } };
}

/** `name` alone. USAGE. */
export function parseImageName(text: string): string {
  const [name = '', more] = text.split(/[@:]/, 2);
  if (more !== undefined && isImageName(name)) {
    throw new LazydiskError('USAGE', `Expected an image without a snapshot, as ${name}, not ${JSON.stringify(text)}.`);
  }
  return checkedName(text);
}

/** The number that a reference names in a repository; undefined when it names none. NOT_FOUND (the tag). */
export async function numberIn(
  { store }: Repository,
  { image, snapshot }: ImageReference,
): Promise<number | undefined> {
  if (snapshot.kind === 'tag') return taggedNumber(store, image, snapshot.tag);
  return snapshot.kind === 'number' ? snapshot.number : undefined;
}

/** The same on a mount: its daemon says what the tag means. */
export async function numberOn(
  client: ControlClient,
  { image, snapshot }: ImageReference,
): Promise<number | undefined> {
  if (snapshot.kind === 'tag') return (await client.tagged(image, snapshot.tag)).number;
  return snapshot.kind === 'number' ? snapshot.number : undefined;
}

function checkedName(name = ''): string {
  assertImageName(name);
  return name;
}

function parseNumber(text: string, whole: string, expected: string): number {
  if (!NUMBER.test(text)) throw wrong(whole, expected);
  return Number(text);
}

function wrong(text: string, expected: string): LazydiskError {
  return new LazydiskError('USAGE', `Expected ${expected} (numbers count from 1), not ${JSON.stringify(text)}.`);
}
