/**
 * Deleting a snapshot: the tombstone first, which keeps its record for undelete, then an empty object over the record.
 *
 * The key of a record is never free again, so the number can't be used again either: the put of a writer that chose it before
 * it was published, and arrives after it was deleted, is refused like any other second one. An absent record with a tombstone
 * is deleted as well (so an early lazydisk left it).
 *
 * A number with a tombstone and a record is a living snapshot: a deletion that was interrupted (deleting again finishes it),
 * given up because of a lock, or undone. Undoing is one put, of the record that the tombstone holds. Tombstones are never
 * removed: another deletion may count on one that is there. Chunks and nodes stay: what no record and no tombstone reaches is reclaimed by
 * collection. Lock and tags are looked at before and once more after the tombstone, so that a writer that begins meanwhile
 * keeps its base, and a tag its snapshot. When the grace is over, a collection takes the record out: the tombstone is final, and what it held may go.
 */
import { damaged } from '../format/json.js';
import { snapshotKey, tombstoneKey } from '../format/keys.js';
import { decodeSnapshotRecord, type SnapshotRecord } from '../format/snapshot-record.js';
import { decodeTombstone, encodeTombstone, type Tombstone } from '../format/tombstone.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { Stopwatch } from '../util/stopwatch.js';
import { readLock } from './locks.js';
import { orNull } from './read-document.js';
import { within } from './reliance.js';
import { readTags, tagNames } from './tags.js';

/** What a deletion puts over a record. */
const EMPTIED = Buffer.alloc(0);

/**
 * LOCKED, CONFLICT (tagged; or it took so long that the grace which the tombstone begins would be cut short), NOT_FOUND.
 * `ageMs`: since the deletion began.
 */
export async function deleteSnapshot(
  store: ObjectStore,
  image: string,
  number: number,
  ageMs: Stopwatch,
  signal?: AbortSignal,
): Promise<void> {
  await assertUnused(store, image, number, signal);
  const key = snapshotKey(image, number);
  const bytes = await orNull(store.get(key, { signal }));
  if (bytes === null || isEmptied(bytes)) {
    if ((await readTombstone(store, image, number, signal)) !== null) return; // it is done
    if (bytes === null) {
      throw new LazydiskError('NOT_FOUND', `${image}@${number} does not exist in ${store.location}.`, {
        facts: { image, number },
      });
    }
  }
  await putTombstone(store, image, tombstoneOf(number, bytes, key), signal);
  await assertUnused(store, image, number, signal);
  await store.put(key, EMPTIED, { signal, pace: within(ageMs) });
}

/** Whether this is what stands for a record where its snapshot was deleted, if there is a tombstone. */
export function isEmptied(bytes: Uint8Array): boolean {
  return bytes.length === EMPTIED.length;
}

/** The tombstone of a number, or null. DAMAGED, UNSUPPORTED. */
export async function readTombstone(
  store: ObjectStore,
  image: string,
  number: number,
  signal?: AbortSignal,
): Promise<Tombstone | null> {
  const key = tombstoneKey(image, number);
  const bytes = await orNull(store.get(key, { signal }));
  return bytes === null ? null : decodeTombstone(bytes, key);
}

/**
 * The record that a tombstone holds, to be published again. NOT_FOUND: it was never deleted, or its grace is over. DAMAGED,
 * UNSUPPORTED: it, or its tombstone, can't be read.
 */
export async function deletedRecord(
  store: ObjectStore,
  image: string,
  number: number,
  signal?: AbortSignal,
): Promise<SnapshotRecord> {
  const key = tombstoneKey(image, number);
  const tombstone = await readTombstone(store, image, number, signal);
  if (tombstone?.record) return tombstone.record;
  if (tombstone?.unreadable !== undefined)
    throw damaged(key, 'the record that it keeps was damaged when it was deleted');
  const why = tombstone === null ? 'was not deleted' : 'was deleted too long ago: its data has been given up';
  throw new LazydiskError('NOT_FOUND', `${image}@${number} ${why}.`, { facts: { image, number } });
}

/** A tombstone whose grace is over and that still holds something. */
export interface HoldingTombstone {
  readonly image: string;
  readonly number: number;
  /** When it was put, by the store's clock. */
  readonly sinceMs: number;
  readonly timeMs: number;
  /** null: what it holds can't be read. */
  readonly record: SnapshotRecord | null;
}

/** Looks into a tombstone; undefined: it holds nothing. */
export async function lookInto(
  store: ObjectStore,
  where: Pick<HoldingTombstone, 'image' | 'number' | 'sinceMs'>,
  signal?: AbortSignal,
): Promise<HoldingTombstone | undefined> {
  try {
    const tombstone = await readTombstone(store, where.image, where.number, signal);
    if (tombstone === null || (tombstone.record === null && tombstone.unreadable === undefined)) return undefined;
    return { ...where, timeMs: tombstone.timeMs, record: tombstone.record };
  } catch (error) {
    if (hasCode(error, 'DAMAGED', 'UNSUPPORTED')) return { ...where, timeMs: 0, record: null };
    throw error;
  }
}

/**
 * Takes out what a tombstone holds; resolves to whether it did. One that has been put anew since it was listed is of another
 * deletion, whose grace has just begun.
 */
export async function finaliseTombstone(
  store: ObjectStore,
  { image, number, sinceMs, timeMs }: Omit<HoldingTombstone, 'record'>,
  signal?: AbortSignal,
): Promise<boolean> {
  const key = tombstoneKey(image, number);
  const { objects } = await store.list(key, { signal });
  if (!objects.some((object) => object.key === key && object.modifiedMs === sinceMs)) return false;
  const final: Tombstone = { formatVersion: 1, number, timeMs, record: null };
  await store.put(key, encodeTombstone(final, key), { signal });
  return true;
}

/** A damaged record is kept as bytes; one that needs a newer lazydisk is not ours to delete (UNSUPPORTED). */
function tombstoneOf(number: number, bytes: Buffer, key: string): Tombstone {
  const common = { formatVersion: 1, number, timeMs: Date.now() } as const;
  try {
    return { ...common, record: decodeSnapshotRecord(bytes, key) };
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error;
    return { ...common, record: null, unreadable: bytes.toString('base64') };
  }
}

/**
 * One that is there already is put again: it may be of another record, this one is what undelete has to bring back; and its
 * grace begins now.
 */
async function putTombstone(
  store: ObjectStore,
  image: string,
  tombstone: Tombstone,
  signal: AbortSignal | undefined,
): Promise<void> {
  const key = tombstoneKey(image, tombstone.number);
  await store.put(key, encodeTombstone(tombstone, key), { signal });
}

/** LOCKED, CONFLICT. */
async function assertUnused(store: ObjectStore, image: string, number: number, signal?: AbortSignal): Promise<void> {
  await Promise.all([assertNotBase(store, image, number, signal), assertUntagged(store, image, number, signal)]);
}

async function assertUntagged(store: ObjectStore, image: string, number: number, signal?: AbortSignal): Promise<void> {
  const tags = await readTags(store, image, await tagNames(store, image, signal), signal);
  const own = tags.filter((tag) => tag.number === number).map(({ tag }) => tag);
  if (own.length > 0) throw taggedError(image, number, own);
}

/** CONFLICT: what keeps a snapshot from being deleted. */
export function taggedError(image: string, number: number, tags: readonly string[]): LazydiskError {
  const names = tags.map((tag) => `${image}:${tag}`).join(', ');
  return new LazydiskError(
    'CONFLICT',
    `${image}@${number} is tagged (${names}): move the tag with \`lazydisk tag\`, or delete with --untag.`,
    { facts: { image, number, tags } },
  );
}

async function assertNotBase(store: ObjectStore, image: string, number: number, signal?: AbortSignal): Promise<void> {
  const lock = await readLock(store, image, signal);
  if (lock?.base?.number !== number) return;
  throw new LazydiskError(
    'LOCKED',
    `${image}@${number} is the base of what ${lock.host} (process ${lock.pid}) is writing; commit or revert there first.`,
    { facts: { image, number, lock } },
  );
}
