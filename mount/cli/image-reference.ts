/** How a command line names images and snapshots: `name`, `name@3`, and for deleting `name@3..7`. */
import { assertImageName } from '../../lib/format/keys.js';
import { LazydiskError } from '../../lib/util/errors.js';

export interface ImageReference {
  readonly image: string;
  /** undefined: the newest snapshot, or the whole image, as the verb has it. */
  readonly number: number | undefined;
}

/** Snapshots `first` to `last`, both included. */
export interface SnapshotRange {
  readonly image: string;
  /** undefined: every snapshot of the image. */
  readonly numbers: { readonly first: number; readonly last: number } | undefined;
}

const NUMBER = /^[1-9]\d{0,7}$/;

/** `name` or `name@N`. USAGE. */
export function parseImageReference(text: string): ImageReference {
  const [name, number, rest] = text.split('@');
  if (rest !== undefined) throw wrong(text, 'NAME or NAME@N');
  return {
    image: checkedName(name),
    number: number === undefined ? undefined : parseNumber(number, text, 'NAME or NAME@N'),
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
  return checkedName(text);
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
