/**
 * Deleting a snapshot: the tombstone first, which keeps its number used and its record for undelete, then the record.
 *
 * Interrupted between the two, the snapshot is still there, and deleting it again finishes. Chunks and nodes stay: what no
 * record and no tombstone reaches is reclaimed by collection. The lock is looked at before and once more after the
 * tombstone, so that a writer that begins meanwhile keeps its base.
 */
import { snapshotKey, tombstoneKey } from '../format/keys.js';
import { decodeSnapshotRecord, type SnapshotRecord } from '../format/snapshot-record.js';
import { decodeTombstone, encodeTombstone, type Tombstone } from '../format/tombstone.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { readLock } from './locks.js';

export async function deleteSnapshot(
  store: ObjectStore,
  image: string,
  number: number,
  signal?: AbortSignal,
): Promise<void> {
  await assertNotBase(store, image, number, signal);
  const key = snapshotKey(image, number);
  const bytes = await getOrNull(store, key, signal);
  if (bytes === null) {
    if ((await readTombstone(store, image, number, signal)) !== null) return; // it is done
    throw new LazydiskError('NOT_FOUND', `${image}@${number} does not exist in ${store.location}.`, {
      facts: { image, number },
    });
  }
  const madeTombstone = await putTombstone(store, image, tombstoneOf(number, bytes, key), signal);
  try {
    await assertNotBase(store, image, number, signal);
  } catch (error) {
    if (madeTombstone) await store.delete(tombstoneKey(image, number), { signal });
    throw error;
  }
  await store.delete(key, { signal });
}

/** The tombstone of a number, or null. DAMAGED, UNSUPPORTED. */
export async function readTombstone(
  store: ObjectStore,
  image: string,
  number: number,
  signal?: AbortSignal,
): Promise<Tombstone | null> {
  const key = tombstoneKey(image, number);
  const bytes = await getOrNull(store, key, signal);
  return bytes === null ? null : decodeTombstone(bytes, key);
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

/** Whether it was put: false when the same one was there already. */
async function putTombstone(
  store: ObjectStore,
  image: string,
  tombstone: Tombstone,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const key = tombstoneKey(image, tombstone.number);
  const bytes = encodeTombstone(tombstone, key);
  try {
    await store.put(key, bytes, { ifAbsent: true, signal });
    return true;
  } catch (error) {
    if (!hasCode(error, 'EXISTS')) throw error;
  }
  const there = await readTombstone(store, image, tombstone.number, signal);
  if (isOf(there, tombstone.record)) return false;
  await store.put(key, bytes, { signal }); // of another record: this one is what undelete has to bring back
  return true;
}

function isOf(tombstone: Tombstone | null, record: SnapshotRecord | null): boolean {
  return tombstone?.record?.commitId === record?.commitId && tombstone !== null;
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

async function getOrNull(store: ObjectStore, key: string, signal: AbortSignal | undefined): Promise<Buffer | null> {
  try {
    return await store.get(key, { signal });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND') && error.facts['bucket'] === undefined) return null;
    throw error;
  }
}
