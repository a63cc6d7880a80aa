/**
 * An archive is unpacked by GNU tar into a folder of its own: it makes nothing outside, through `..`, absolute names or links of the
 * archive. Owners, modes, links, devices and extended attributes are those of the archive, which takes root, or `fakeroot`.
 */
import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { LazydiskError } from '../util/errors.js';
import type { BytePath } from './byte-paths.js';
import type { Input } from './input.js';
import { startProgram, type Started } from './programs.js';
import { temporaryError } from './temporary.js';

const TAR = { command: 'tar', package: 'tar' };
const ARGS = ['-x', '-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--delay-directory-restore'];
/** Every name on a line, which holds only printable ASCII then. */
const TELLING = ['-v', '--quoting-style=escape'];

/** USAGE: the files of an archive belong to several users. `kind`: `a tar archive`. */
export function assertOwners(name: string, kind: string): void {
  if (process.geteuid?.() === 0) return;
  throw new LazydiskError(
    'USAGE',
    `${name} is ${kind}, whose files belong to several users: import it as root, or by \`fakeroot lazydisk import …\`.`,
  );
}

/**
 * Unpacks into `folder`, which is there. `onMember`: told the path of each member, relative to the folder, `''` for the folder. DAMAGED,
 * NO_SPACE, UNSUPPORTED (no tar here), and what `input` throws, which is not closed.
 */
export async function untar(
  input: Input,
  name: string,
  folder: string,
  onMember?: (path: BytePath) => void,
): Promise<void> {
  const args = [...ARGS, ...(onMember === undefined ? [] : TELLING), '-f', '-', '-C', folder];
  const stdout = onMember === undefined ? 'ignore' : 'pipe';
  const tar = await startProgram(TAR, args, `${name} is a tar archive`, ['pipe', stdout, 'pipe']);
  const told = onMember === undefined ? undefined : tell(tar.process.stdout!, onMember);
  let problem: { error: unknown } | undefined;
  await pour(input, tar).catch((error: unknown) => {
    problem = { error };
  });
  await told;
  const { succeeded, saidFirst } = await tar.ended;
  if (problem !== undefined) throw problem.error;
  if (succeeded) return;
  const said = saidFirst.replace(/^tar: /, '');
  if (/No space left|quota/i.test(said)) throw temporaryError(Object.assign(new Error(said), { code: 'ENOSPC' }));
  throw new LazydiskError('DAMAGED', `${name} can't be unpacked by tar: ${said}.`);
}

/**
 * All of the input into tar. It may end before, at the end of the archive: the rest is read nevertheless, since a checksum over the input
 * tells at its end. When it ended because it failed, nobody wants the rest.
 */
async function pour(input: Input, tar: Started): Promise<void> {
  const into = tar.process.stdin!;
  into.on('error', () => undefined); // how tar ended says why
  let isClosed = false;
  const closed = new Promise<void>((resolve) => {
    into.once('close', () => {
      isClosed = true;
      resolve();
    });
  });
  try {
    for await (const piece of input) {
      if (isClosed) {
        if (!(await tar.ended).succeeded) return;
      } else if (!into.write(piece)) {
        await Promise.race([closed, new Promise((resolve) => into.once('drain', resolve))]);
      }
    }
    into.end();
  } catch (error) {
    into.destroy();
    throw error;
  }
}

async function tell(lines: Readable, onMember: (path: BytePath) => void): Promise<void> {
  for await (const line of createInterface({ input: lines, crlfDelay: Infinity })) {
    onMember(
      unescaped(line)
        .split('/')
        .filter((part) => part !== '' && part !== '.')
        .join('/'),
    );
  }
}

const ESCAPES: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** `\ooo`, `\n` and the like, and a backslash before any other character. */
function unescaped(line: string): BytePath {
  return line.replace(/\\([0-7]{3}|.)/g, (_, what: string) =>
    what.length === 3 ? String.fromCharCode(parseInt(what, 8)) : (ESCAPES[what] ?? what),
  );
}
