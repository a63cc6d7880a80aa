/**
 * Which strings are keys, the same in every store.
 *
 * A repository can be copied from a directory to a bucket and back, so a key must be good in both: a relative path of
 * `/`-separated names, none of them empty, `.` or `..`, each short enough for a file name, the whole short enough for S3.
 * Characters outside the Basic Multilingual Plane are refused, because without them the order of UTF-16 units (JavaScript)
 * and of UTF-8 bytes (S3) is one and the same, and listings need no slower comparison.
 *
 * What this does not do: it knows no names of lazydisk's own; those are spelled in lib/format/keys.ts.
 */
import { LazydiskError } from '../util/errors.js';

/** Longest key, bytes of UTF-8: the limit of S3. */
export const MAX_KEY_BYTES = 1024;

/** Longest name between two slashes, bytes of UTF-8: the limit of Linux file systems. */
const MAX_NAME_BYTES = 255;

/** Where the directory store keeps what is being written. Reserved in every store, so that all accept the same keys. */
export const TEMPORARY_DIRECTORY = '.lazydisk-tmp';

// Control characters can't be told apart in messages and break XML listings; lone and paired surrogates see above.
const FORBIDDEN_CHARACTER = /[\u0000-\u001f\u007f-\u009f\ud800-\udfff\\]/;

/** Why `key` is none, as the end of a sentence; undefined when it is a good key. */
export function keyProblem(key: string): string | undefined {
  if (key === '') return 'it is empty';
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) return `it is longer than ${MAX_KEY_BYTES} bytes`;
  if (FORBIDDEN_CHARACTER.test(key)) return 'it has a control character, a backslash or a character beyond U+FFFF';
  const names = key.split('/');
  if (names[0] === TEMPORARY_DIRECTORY) return `the name ${TEMPORARY_DIRECTORY} is reserved`;
  for (const name of names) {
    if (name === '') return 'it has an empty name between its slashes';
    if (name === '.' || name === '..') return `it has the name ${name}`;
    if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `it has a name longer than ${MAX_NAME_BYTES} bytes`;
  }
  return undefined;
}

/** Throws USAGE unless `key` is a key. */
export function checkKey(key: string): void {
  const problem = keyProblem(key);
  if (problem !== undefined) {
    throw new LazydiskError('USAGE', `${JSON.stringify(key)} can't be the key of an object: ${problem}.`, {
      facts: { key },
    });
  }
}

/** Throws USAGE unless `prefix` is the beginning of some key: empty, `a/`, `a/b`. */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  checkKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix);
}

/** Order of keys: that of their UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
