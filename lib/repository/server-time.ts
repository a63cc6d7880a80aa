/**
 * The store's own time. Ages of objects are told by its clock, so whoever compares them with now has to ask it: an object is
 * put, listed and deleted. What a kill leaves of that is harmless, and cleaned up by a later collection.
 */
import { randomId } from '../format/checksums.js';
import { clockKey } from '../format/keys.js';
import type { ObjectStore } from '../store/object-store.js';
import { LazydiskError } from '../util/errors.js';

/** Milliseconds since 1970 by the store's clock, at some moment during the call (some stores count whole seconds). */
export async function serverTimeMs(store: ObjectStore, signal?: AbortSignal): Promise<number> {
  const key = clockKey(randomId());
  await store.put(key, Buffer.from('now\n'), { signal });
  const { objects } = await store.list(key, { signal });
  await store.delete(key, { signal });
  const [found] = objects;
  if (found !== undefined) return found.modifiedMs;
  throw new LazydiskError('CONFLICT', `${key} was put into ${store.location} and is not listed; try again.`);
}
