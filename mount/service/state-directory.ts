/**
 * The state directory of a mount: everything precious that this host holds for one repository.
 *
 *   state.json     who we are, and which repository this is for (here)
 *   control.sock, daemon.log, daemon.stderr     the daemon (service)
 *   database, mirror, images     the rooms below
 *
 * Its random id, not a host name or boot id, is our identity towards the store: the writer's lock names it. Folders are
 * 0700 and files 0600. `state.json` is made once, by exactly one of any number of starters, and afterwards replaced whole;
 * only the daemon that holds the directory's lock (LevelDB's) may replace it. The URL and endpoint in it let a mount find its
 * directory while the store is away, and the cached marker lets it start then.
 */
import { randomBytes } from 'node:crypto';
import { readdir, readFile, realpath, stat, statfs } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { decodeMarker, type RepositoryMarker } from '../../lib/format/marker.js';
import type { RandomId } from '../../lib/format/references.js';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import { createFile, makePrivateFolder, replaceFile } from './files.js';
import { isWithin } from './mountpoint.js';

const STATE_VERSION = 1;
const STATE_FILE = 'state.json';
const TMPFS_MAGIC = [0x01021994, 0x858458f6]; // tmpfs, ramfs
const randomId = z.string().regex(/^[0-9a-f]{32}$/);

const recordSchema = z.object({
  stateVersion: z.literal(STATE_VERSION),
  stateId: randomId,
  repositoryUrl: z.string(),
  endpoint: z.string().nullable(),
  repositoryId: randomId,
  /** The repository's marker as it was last read, for a start without the store; its own codec checks it. */
  marker: z.record(z.string(), z.unknown()),
});

/** Which repository a directory is for. */
export interface RepositoryIdentity {
  readonly repositoryUrl: string;
  readonly endpoint: string | null;
  readonly repositoryId: RandomId;
  readonly marker: RepositoryMarker;
}

/** Content of state.json. */
/** File of the daemon's log in a state directory. */
export const LOG_NAME = 'daemon.log';

export type StateRecord = RepositoryIdentity & { readonly stateVersion: 1; readonly stateId: RandomId };

export interface StateDirectory {
  readonly path: string;
  readonly record: StateRecord;
}

/** Folder that holds the state directories of a user when `--state` is not given. */
export function defaultStateRoot(uid: number, environment: NodeJS.ProcessEnv = process.env): string {
  if (uid === 0) return '/var/lib/lazydisk';
  const chosen = environment['XDG_STATE_HOME'];
  const base = chosen?.startsWith('/') === true ? chosen : join(homedir(), '.local', 'state');
  return join(base, 'lazydisk');
}

/**
 * The record of an existing directory; undefined when there is none yet. DAMAGED: not readable as a record. UNSUPPORTED: made
 * by a newer version.
 */
export async function readStateDirectory(path: string): Promise<StateDirectory | undefined> {
  const file = join(path, STATE_FILE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    if (errnoOf(error) === 'ENOTDIR') throw new LazydiskError('USAGE', `The state directory ${path} is not a folder.`);
    throw new LazydiskError('IO', `${file} can't be read: ${messageOf(error)}.`, { cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(file, 'it is not JSON', error);
  }
  const version = (value as { stateVersion?: unknown } | null)?.stateVersion;
  if (typeof version === 'number' && version > STATE_VERSION) {
    throw new LazydiskError(
      'UNSUPPORTED',
      `The state directory ${path} was made by a newer lazydisk (state version ${String(version)}, this one knows ${String(STATE_VERSION)}): use that version.`,
      { facts: { path, stateVersion: version } },
    );
  }
  const parsed = recordSchema.safeParse(value);
  if (!parsed.success) throw damaged(file, parsed.error.issues[0]?.message ?? 'not valid', parsed.error);
  const { marker, ...facts } = parsed.data;
  return { path, record: { ...facts, marker: checkedMarker(marker) } };
}

/** The directory below `root` that was last used for this URL and endpoint, or undefined. Unreadable ones are passed over. */
export async function findStateDirectory(
  root: string,
  repositoryUrl: string,
  endpoint: string | null,
): Promise<StateDirectory | undefined> {
  const found: { state: StateDirectory; changedMs: number }[] = [];
  for (const name of await readdir(root).catch(() => [])) {
    const path = join(root, name);
    const state = await readStateDirectory(path).catch(() => undefined);
    if (state?.record.repositoryUrl !== repositoryUrl || state.record.endpoint !== endpoint) continue;
    found.push({ state, changedMs: (await stat(join(path, STATE_FILE))).mtimeMs });
  }
  found.sort((a, b) => b.changedMs - a.changedMs);
  return found[0]?.state;
}

/** Where a state directory must not be. */
export interface PlacementRules {
  /** The folder that will be mounted on, resolved; null when it is not known. */
  readonly mountpoint: string | null;
  /** Accept a file system in memory, whose content is lost with the host. */
  readonly force: boolean;
  /** Which folder it is, and the option that chooses it. */
  readonly what?: 'state' | 'cache';
}

/** USAGE: on the mount itself, or in memory without `force`. `path` need not exist. Resolves to the resolved path. */
export async function checkPlacement(path: string, rules: PlacementRules): Promise<string> {
  const { what = 'state' } = rules;
  const resolved = await resolveMissing(resolve(path));
  if (rules.mountpoint !== null && isWithin(resolved, rules.mountpoint)) {
    throw new LazydiskError(
      'USAGE',
      `The ${what} directory ${resolved} lies on the mountpoint ${rules.mountpoint} itself: choose one elsewhere with --${what}.`,
    );
  }
  const { type } = await statfs(await nearestExisting(resolved));
  if (TMPFS_MAGIC.includes(type) && !rules.force) {
    throw new LazydiskError(
      'USAGE',
      `The state directory ${resolved} is in memory (tmpfs), so uncommitted writes would be lost with the host: choose one on a disk with --state, or insist with --force.`,
    );
  }
  return resolved;
}

/**
 * Opens the directory for a repository, making it when it is new. CONFLICT: it belongs to another repository. The caller has
 * checked the placement.
 */
export async function openStateDirectory(path: string, identity: RepositoryIdentity): Promise<StateDirectory> {
  try {
    await makePrivateFolder(path);
    const fresh: StateRecord = {
      stateVersion: STATE_VERSION,
      stateId: randomBytes(16).toString('hex'),
      ...identity,
    };
    if (await createFile(join(path, STATE_FILE), encode(fresh))) return { path, record: fresh };
  } catch (error) {
    throw new LazydiskError('IO', `The state directory ${path} can't be made: ${messageOf(error)}.`, { cause: error });
  }
  const existing = await readStateDirectory(path);
  if (existing === undefined)
    throw new LazydiskError('IO', `${join(path, STATE_FILE)} disappeared while it was opened.`);
  if (existing.record.repositoryId !== identity.repositoryId) {
    throw new LazydiskError(
      'CONFLICT',
      `The state directory ${path} belongs to another repository (${existing.record.repositoryUrl}, id ${existing.record.repositoryId}): choose another with --state.`,
      { facts: { path, repositoryUrl: existing.record.repositoryUrl, repositoryId: existing.record.repositoryId } },
    );
  }
  return existing;
}

/** Records under which URL and endpoint the repository was reached now, and its marker. The caller holds the lock. */
export async function refreshStateDirectory(
  state: StateDirectory,
  identity: RepositoryIdentity,
): Promise<StateDirectory> {
  const record: StateRecord = { ...state.record, ...identity };
  if (encode(record) === encode(state.record)) return state;
  await replaceFile(join(state.path, STATE_FILE), encode(record));
  return { path: state.path, record };
}

function encode(record: StateRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** DAMAGED, UNSUPPORTED. */
function checkedMarker(marker: unknown): RepositoryMarker {
  return decodeMarker(Buffer.from(JSON.stringify(marker)));
}

function damaged(file: string, reason: string, cause: unknown): LazydiskError {
  return new LazydiskError(
    'DAMAGED',
    `${file} is damaged (${reason}): restore it, or choose another directory with --state.`,
    {
      cause,
      facts: { file },
    },
  );
}

/** realpath of a path whose last parts may not exist yet. */
async function resolveMissing(path: string): Promise<string> {
  const existing = await nearestExisting(path);
  return join(await realpath(existing), path.slice(existing.length));
}

/** The folder itself, or the nearest one above it that is there. */
export async function nearestExisting(path: string): Promise<string> {
  for (let current = path; ; current = dirname(current)) {
    if (current === '/' || (await stat(current).catch(() => undefined)) !== undefined) return current;
  }
}
