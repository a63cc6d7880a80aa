/**
 * An archive is unpacked by GNU tar into a folder of its own: it makes nothing outside, through `..`, absolute names or links of the
 * archive. Owners, modes, links, devices and extended attributes are those of the archive, which takes root, or `fakeroot`.
 */
import type { Readable } from 'node:stream';
import type { Bytes } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import { bytePath, statInside, type BytePath } from './byte-paths.js';
import type { Input } from './input.js';
import { startProgram, type Started } from './programs.js';
import { complaintIn, pathIn, type LooseLink } from './tar-words.js';
import { temporaryError } from './temporary.js';

const TAR = { command: 'tar', package: 'tar' };
const ARGS = ['-x', '-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--delay-directory-restore'];
/** Every name on a line (`tar-words.ts`). */
const TELLING = ['-v', '--quoting-style=escape'];
/** Archives consist of blocks of this size. */
const BLOCK_BYTES: Bytes = 512;
/** A write that got some of its bytes onto a full disk is told without the reason. */
const DISK_FULL = /No space left|quota|Wrote only \d+ of \d+ bytes/i;
/** Two paths, each byte of them escaped, and what tar says of them: no file has a longer path than 4,095 bytes. */
const MAX_LINE = 64 * 1024;
/** The status of tar when it went on after an error. */
const SOMETHING_FAILED = 2;

/** USAGE: the files of an archive belong to several users. `kind`: `a tar archive`. */
export function assertOwners(name: string, kind: string): void {
  if (process.geteuid?.() === 0) return;
  throw new LazydiskError(
    'USAGE',
    `${name} is ${kind}, whose files belong to several users: import it as root, by \`fakeroot lazydisk import …\`, or, if no device ` +
      'files are in it, by `unshare --map-root-user --map-auto lazydisk import …`.',
  );
}

/** What is told of an archive while it is unpacked. */
export interface Told {
  /** The path of each member, relative to the folder, `''` for the folder itself. */
  readonly onMember: (path: BytePath) => void;
  /** A hard link that tar could not make, since nothing was under its target; whoever asks makes it, or refuses it. */
  readonly onLooseLink: (link: LooseLink) => void;
}

/**
 * Unpacks into `folder`, which is there. What `told` throws ends it. DAMAGED, NO_SPACE, UNSUPPORTED (no tar here), and what `input` throws,
 * which is not closed.
 */
export async function untar(input: Input, name: string, folder: string, told?: Told): Promise<void> {
  const args = [...ARGS, ...(told === undefined ? [] : TELLING), '-f', '-', '-C', folder];
  const tar = await startProgram(TAR, args, `${name} is a tar archive`, [
    'pipe',
    told === undefined ? 'ignore' : 'pipe',
    'pipe',
  ]);
  const listening = told === undefined ? undefined : listen(tar, name, told);
  let problem: { error: unknown } | undefined;
  const poured = pour(input, tar, told !== undefined).catch((error: unknown) => {
    problem ??= { error };
    return 0;
  });
  const heard = await listening?.catch((error: unknown) => {
    problem ??= { error };
    return tar.end().then(() => undefined);
  });
  const tailBytes = await poured;
  const { succeeded, status, saidFirst } = await tar.ended;
  if (problem !== undefined) throw problem.error;
  if (succeeded || (status === SOMETHING_FAILED && heard?.hasOnlyLooseLinks === true)) {
    if (tailBytes === 0 || heard?.last === undefined || (await isWhole(bytePath(folder), heard.last, tailBytes)))
      return;
    throw damaged(name, 'it ends within a file');
  }
  const said = heard?.error ?? complaintIn(saidFirst).words;
  if (DISK_FULL.test(said)) throw temporaryError(Object.assign(new Error(said), { code: 'ENOSPC' }));
  throw refusal(name, said) ?? damaged(name, said);
}

/** USAGE: what root may do, and whoever is root in a namespace of his own may not. */
function refusal(name: string, said: string): LazydiskError | undefined {
  const [, device] = /^(.*): Cannot mknod: Operation not permitted$/.exec(said) ?? [];
  if (device !== undefined) {
    const what = `${name} has device files (${device}), which only root can make`;
    return new LazydiskError('USAGE', `${what}: import it as root, or by \`fakeroot lazydisk import …\`.`);
  }
  if (!/: Cannot change ownership to .*: Invalid argument$/.test(said)) return undefined;
  return new LazydiskError(
    'USAGE',
    `${name} has files that belong to users who are not here (${said}): import it as root, or by \`fakeroot lazydisk import …\`.`,
  );
}

/** Whether the last member of an archive, of whose last block `tailBytes` were there, has lost nothing. tar has checked its header. */
async function isWhole(folder: BytePath, last: BytePath, tailBytes: Bytes): Promise<boolean> {
  const stat = await statInside(folder, last);
  if (stat?.isFile() !== true || stat.size === 0) return true;
  const usedBytes = stat.size % BLOCK_BYTES;
  return usedBytes > 0 && usedBytes <= tailBytes;
}

function damaged(name: string, said: string): LazydiskError {
  return new LazydiskError('DAMAGED', `${name} can't be unpacked by tar: ${said}.`);
}

interface Heard {
  /** The last member. */
  readonly last: BytePath | undefined;
  readonly hasOnlyLooseLinks: boolean;
  readonly error: string | undefined;
}

/** To the end of tar. */
async function listen({ process: tar }: Started, name: string, { onMember, onLooseLink }: Told): Promise<Heard> {
  let last: BytePath | undefined;
  let loose = 0;
  let error: string | undefined;
  const members = async (): Promise<void> => {
    for await (const line of linesOf(tar.stdout!, name)) onMember((last = pathIn(line)));
  };
  const complaints = async (): Promise<void> => {
    for await (const line of linesOf(tar.stderr!, name)) {
      const complaint = complaintIn(line);
      if (complaint.kind === 'error') error ??= complaint.words;
      if (complaint.kind !== 'loose') continue;
      loose++;
      onLooseLink(complaint.link);
    }
  };
  await Promise.all([members(), complaints()]);
  return { last, hasOnlyLooseLinks: loose > 0 && error === undefined, error };
}

/** What tar says, a line at a time; DAMAGED: one names what no file can be called. `name`: of the archive. */
async function* linesOf(words: Readable, name: string): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of words.setEncoding('latin1') as AsyncIterable<string>) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    if (rest.length > MAX_LINE) throw damaged(name, 'it has a name that is too long for a file');
    yield* lines;
  }
  if (rest !== '') yield rest;
}

/**
 * All of the input into tar. It may end before, at the end of the archive: the rest is read nevertheless, since a checksum over the input
 * tells at its end. When it ended because it failed, nobody wants the rest. `isFilled`: a last block that is not whole is filled up with zeros, as
 * some builders leave it out; how much of it was there is returned, 0 when all.
 */
async function pour(input: Input, tar: Started, isFilled: boolean): Promise<Bytes> {
  const into = tar.process.stdin!;
  into.on('error', () => undefined); // how tar ended says why
  let isClosed = false;
  const closed = new Promise<void>((resolve) => {
    into.once('close', () => {
      isClosed = true;
      resolve();
    });
  });
  let tailBytes = 0;
  try {
    for await (const piece of input) {
      tailBytes = (tailBytes + piece.length) % BLOCK_BYTES;
      if (isClosed) {
        if (!(await tar.ended).succeeded) return 0;
      } else if (!into.write(piece)) {
        await Promise.race([closed, new Promise((resolve) => into.once('drain', resolve))]);
      }
    }
    into.end(isFilled && tailBytes > 0 ? Buffer.alloc(BLOCK_BYTES - tailBytes) : undefined);
    return tailBytes;
  } catch (error) {
    into.destroy();
    throw error;
  }
}
