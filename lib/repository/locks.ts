/**
 * The writer's lock: `writer.json` of an image, taken with If-None-Match.
 *
 * The store has no compare-and-swap that we may use, so changing or removing a lock is "read, check, act". That is safe
 * among honest holders: only the holder changes its lock, and taking it by force is an operator's decision.
 */
import { writerKey } from '../format/keys.js';
import type { RandomId } from '../format/references.js';
import { decodeWriterLock, encodeWriterLock, type WriterLock } from '../format/writer-lock.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { orNull, readDocument } from './read-document.js';

/** How often a lock may come and go while we try to take it. */
const ATTEMPTS = 5;

export async function readLock(store: ObjectStore, image: string, signal?: AbortSignal): Promise<WriterLock | null> {
  const key = writerKey(image);
  const lock = readDocument(
    () => store.get(key, { signal }),
    (bytes) => decodeWriterLock(bytes, key),
  );
  return orNull(lock);
}

/** Our own lock is kept and returned as it is. LOCKED when it is another's. */
export async function takeLock(
  store: ObjectStore,
  image: string,
  lock: WriterLock,
  signal?: AbortSignal,
): Promise<WriterLock> {
  const key = writerKey(image);
  const bytes = encodeWriterLock(lock, key);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      await store.put(key, bytes, { ifAbsent: true, signal });
      return lock;
    } catch (error) {
      if (!hasCode(error, 'EXISTS')) throw error;
    }
    const holder = await readLock(store, image, signal);
    if (holder?.stateId === lock.stateId) return holder;
    if (holder !== null) throw lockedError(image, holder);
  }
  throw new LazydiskError('CONFLICT', `The lock of ${image} is being taken and given up by others; try again.`);
}

/** A lock that somebody has removed meanwhile is taken again. LOCKED when it is another's. */
export async function updateLock(
  store: ObjectStore,
  image: string,
  lock: WriterLock,
  signal?: AbortSignal,
): Promise<void> {
  // Ours, as nearly always: one question less than taking it again.
  const holder = await readLock(store, image, signal);
  if (holder?.stateId !== lock.stateId) await takeLock(store, image, lock, signal);
  const key = writerKey(image);
  await store.put(key, encodeWriterLock(lock, key), { signal });
}

export async function releaseLock(
  store: ObjectStore,
  image: string,
  stateId: RandomId | undefined,
  signal?: AbortSignal,
): Promise<WriterLock | null> {
  const lock = await readLock(store, image, signal).catch((error: unknown) => {
    if (stateId === undefined && hasCode(error, 'DAMAGED')) return undefined; // by force, whatever it says
    throw error;
  });
  if (lock === null || (stateId !== undefined && lock?.stateId !== stateId)) return null;
  await store.delete(writerKey(image), { signal });
  return lock ?? null;
}

/** Who holds it, and how to go on. */
export function lockedError(image: string, lock: WriterLock): LazydiskError {
  const since = new Date(lock.timeMs).toISOString();
  return new LazydiskError(
    'LOCKED',
    `${image} is being written by ${lock.host} (process ${lock.pid}, since ${since}); unmount it there, or give up its lock with \`lazydisk unlock\`.`,
    { facts: { image, lock } },
  );
}
