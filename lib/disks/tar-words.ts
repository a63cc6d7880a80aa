/**
 * What GNU tar says under `-v --quoting-style=escape` and LC_ALL=C, one thing a line, whatever bytes are in the names. Pure.
 *
 * A name is bytes: all that is not printable ASCII is escaped, on stdout in one way and, as the target of a link, in another. The end of a
 * name is certain, since what would look like it is escaped, too.
 */
import type { BytePath } from './byte-paths.js';

/** A hard link of an archive to a name that is not in it, or not before it. */
export interface LooseLink {
  readonly path: BytePath;
  readonly target: BytePath;
}

/** What a line on stderr is: a link that could not be made, a remark or a summary, or an error. `words`: without the name of tar. */
export type Complaint = { readonly words: string } & (
  { readonly kind: 'loose'; readonly link: LooseLink } | { readonly kind: 'remark' | 'error' }
);

/** tar calls itself as it was called. */
const ITSELF = /^(?:[^:]*\/)?tar: /;
const LOOSE = /^((?:[^:\\]|\\.)*): Cannot hard link to '((?:[^'\\]|\\.)*)': No such file or directory$/;
const REMARK = /^(?:Removing leading `|Ignoring unknown extended header keyword |Exiting with failure status )/;

/** The path in a line on stdout, without dots and doubled slashes; `''` for the folder itself. */
export function pathIn(line: string): BytePath {
  return unescaped(line)
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/** A line on stderr. */
export function complaintIn(line: string): Complaint {
  const words = line.replace(ITSELF, '');
  const [, path, target] = LOOSE.exec(words) ?? [];
  if (path !== undefined && target !== undefined) {
    return { words, kind: 'loose', link: { path: pathIn(path), target: pathIn(target) } };
  }
  return { words, kind: REMARK.test(words) ? 'remark' : 'error' };
}

const ESCAPES: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** `\ooo`, `\n` and the like, and a backslash before any other character. */
function unescaped(words: string): BytePath {
  return words.replace(/\\([0-7]{3}|.)/g, (_, what: string) =>
    what.length === 3 ? String.fromCharCode(parseInt(what, 8)) : (ESCAPES[what] ?? what),
  );
}
