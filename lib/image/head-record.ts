/**
 * `head.json`: the authoritative record of a head on this host.
 *
 * It is written by rename, with the file and its folder synced. A layer is listed here before it is used and unlisted
 * before its files go; so what is not listed is garbage, and what is listed is there.
 */
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as z from 'zod';

import { randomId } from '../format/checksums.js';
import { isChunkSize } from '../format/geometry.js';
import type { RandomId } from '../format/references.js';
import { decodeSnapshotRecord, encodeSnapshotRecord } from '../format/snapshot-record.js';
import type { ParentReference, SnapshotRecord } from '../format/snapshot-record.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { makeDurableFolder, syncFolder } from '../util/folders.js';
import type { HeadOwner } from './api.js';
import type { BaseTree } from './base.js';

/** One listed layer. */
export interface ListedLayer {
  readonly id: RandomId;
  /** Commits for which this layer was frozen, oldest first; empty for one that takes writes. */
  readonly commitIds: readonly RandomId[];
}

export interface HeadRecord {
  readonly image: string;
  readonly imageId: RandomId;
  readonly contentId: string;
  readonly chunkSizeBytes: number;
  /** The snapshot below the layers, whole, so that the head opens without the store; null before the first commit. */
  readonly base: SnapshotRecord | null;
  /**
   * Whose snapshot the base is: null for this image's own, else the name of another image. Then this one is a local clone: the
   * store knows nothing of it until its first commit.
   */
  readonly origin: string | null;
  /** Highest snapshot number that was known when the base was chosen: only a later one can be a foreign commit. */
  readonly seenNumber: number;
  /** Oldest first. */
  readonly layers: readonly ListedLayer[];
  /** The boot whose live side files are the truth. */
  readonly bootId: string;
  readonly owner: HeadOwner | null;
  readonly lockHeld: boolean;
  /** Commits whose layers a revert threw away: a record of theirs that turns up late is passed over. */
  readonly abandonedCommitIds: readonly RandomId[];
  /** When the oldest change that is in no snapshot was made, at the latest; null when clean. Milliseconds since 1970. */
  readonly dirtySinceMs: number | null;
  /** Why the local disk may have lost written bytes, and nobody has opened the head anew since; null: it has not failed. */
  readonly failedSync: string | null;
}

/**
 * Of records that name an origin: to a reader that knows none, the base would be the image's own. The newest version that
 * there is: records of the first one are read as they are, and stay at it until they name an origin.
 */
const STATE_VERSION_WITH_ORIGIN = 2;

const id = z.string().regex(/^[0-9a-f]{32}$/);
const schema = z.object({
  stateVersion: z.union([z.literal(1), z.literal(STATE_VERSION_WITH_ORIGIN)]),
  image: z.string(),
  imageId: id,
  contentId: z.string().min(1),
  chunkSizeBytes: z.number().refine(isChunkSize),
  base: z.string().nullable(),
  origin: z.string().nullable().default(null),
  seenNumber: z.number().int().min(0),
  layers: z.array(z.object({ id, commitIds: z.array(id) })),
  bootId: z.string(),
  owner: z
    .object({ uid: z.number(), gid: z.number(), mode: z.number(), atimeMs: z.number(), mtimeMs: z.number() })
    .nullable(),
  lockHeld: z.boolean(),
  abandonedCommitIds: z.array(id),
  dirtySinceMs: z.number().nullable(),
  failedSync: z.string().nullable().default(null),
});

/** The base, if it is a snapshot of this image: not that of a local clone. */
export function ownBase({ base, origin }: HeadRecord): SnapshotRecord | null {
  return origin === null ? base : null;
}

/** What a snapshot of this head is made from, as its record says it. */
export function parentOf({ image, base, origin }: HeadRecord): ParentReference | null {
  if (base === null) return null;
  return { image: origin ?? image, imageId: base.imageId, number: base.number, commitId: base.commitId };
}

/** The snapshot of another image on which a local clone stands; null: it is none. */
export function cloneOrigin(record: HeadRecord): Pick<ParentReference, 'image' | 'number'> | null {
  const { base, origin } = record;
  return base === null || origin === null ? null : { image: origin, number: base.number };
}

/** Reads a head's record. DAMAGED names the file; UNSUPPORTED: a newer version made it; NOT_FOUND when there is none. */
export async function readHeadRecord(path: string): Promise<HeadRecord> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new LazydiskError('NOT_FOUND', `There is no ${path}.`, { cause: error });
    }
    throw error;
  }
  try {
    const json: unknown = JSON.parse(text);
    refuseNewer(json, path);
    const value = schema.parse(json);
    return { ...value, base: value.base === null ? null : decodeSnapshotRecord(Buffer.from(value.base), path) };
  } catch (error) {
    if (hasCode(error, 'UNSUPPORTED')) throw error;
    throw new LazydiskError('DAMAGED', `${path} is not the record of a head: ${String(error)}.`, { cause: error });
  }
}

/** What a newer version has written may mean something that this one would lose. */
function refuseNewer(json: unknown, path: string): void {
  const version = (json as { stateVersion?: unknown } | null)?.stateVersion;
  if (typeof version !== 'number' || version <= STATE_VERSION_WITH_ORIGIN) return;
  throw new LazydiskError(
    'UNSUPPORTED',
    `${path} was written by a newer lazydisk (state version ${version}, this one knows ${STATE_VERSION_WITH_ORIGIN}): use that version.`,
    { facts: { path, stateVersion: version } },
  );
}

/** Writes a head's record; durable when it resolves. Nothing has changed when it rejects before it has called `replacing`. */
export async function writeHeadRecord(path: string, record: HeadRecord, replacing: () => void): Promise<void> {
  const base = record.base === null ? null : encodeSnapshotRecord(record.base, 'the base of a head').toString('utf8');
  const stateVersion = record.origin === null ? 1 : STATE_VERSION_WITH_ORIGIN;
  const temporary = `${path}.new`;
  await makeDurableFolder(dirname(path));
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(`${JSON.stringify({ ...record, stateVersion, base }, undefined, 1)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  replacing();
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** The record of an image that has nothing yet. */
export function emptyRecord(image: string, imageId: RandomId, chunkSizeBytes: number, bootId: string): HeadRecord {
  return {
    image,
    imageId,
    contentId: `head/${imageId}/${randomId()}`,
    chunkSizeBytes,
    base: null,
    origin: null,
    seenNumber: 0,
    layers: [],
    bootId,
    owner: null,
    lockHeld: false,
    abandonedCommitIds: [],
    dirtySinceMs: null,
    failedSync: null,
  };
}

/** What the layers stand on. */
export function treeOf(record: HeadRecord): BaseTree {
  return record.base ?? { root: null, sizeBytes: 0, chunkSizeBytes: record.chunkSizeBytes, allocatedBytes: 0 };
}
