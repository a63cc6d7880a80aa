/** What every store checks at the beginning of a call, and the listing rules that stores without a server share. */
import { allowManyWaits } from '../util/abort.js';
import { LazydiskError } from '../util/errors.js';
import type { Clock } from './clock.js';
import { compareKeys } from './keys.js';
import type { ByteRange, Listing, StoredObject } from './object-store.js';

/** Throws ABORTED when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined, location: string): void {
  if (signal?.aborted) throw abortedError(location);
}

/** The error of a call whose caller went away. */
export function abortedError(location: string): LazydiskError {
  return new LazydiskError('ABORTED', `The request to ${location} was given up by its caller.`, {
    facts: { location },
  });
}

/** Calls back once when the signal fires; the returned function prevents it. The signal must not have fired yet. */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => undefined;
  allowManyWaits(signal);
  signal.addEventListener('abort', callback, { once: true });
  return () => signal.removeEventListener('abort', callback);
}

/** Resolves after `delayMs`; rejects with ABORTED when the signal fires first. It must not have fired yet. */
export function pause(
  delayMs: number,
  { clock, signal, location }: { clock: Clock; signal: AbortSignal | undefined; location: string },
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const cancelTimer = clock.after(delayMs, () => {
      stopListening();
      resolve();
    });
    const stopListening = onAbort(signal, () => {
      cancelTimer();
      reject(abortedError(location));
    });
  });
}

/** Throws USAGE unless the range is one: whole numbers, at least one byte. */
export function checkRange(range: ByteRange | undefined): void {
  if (range === undefined) return;
  const { offsetBytes, lengthBytes } = range;
  if (!Number.isSafeInteger(offsetBytes) || offsetBytes < 0 || !Number.isSafeInteger(lengthBytes) || lengthBytes < 1) {
    throw new LazydiskError(
      'USAGE',
      `A range needs an offset of at least 0 and a length of at least 1, not ${offsetBytes} and ${lengthBytes}.`,
    );
  }
}

/** DAMAGED: the object ends before the range does. `sizeBytes` is undefined when the store did not say. */
export function rangePastEnd(
  location: string,
  key: string,
  range: ByteRange,
  sizeBytes: number | undefined,
): LazydiskError {
  const has = sizeBytes === undefined ? 'ends before that' : `has ${sizeBytes} bytes`;
  return new LazydiskError(
    'DAMAGED',
    `${key} in ${location} is too short: bytes ${range.offsetBytes} to ${range.offsetBytes + range.lengthBytes - 1} were asked for, and it ${has}.`,
    { facts: { location, key, ...range, sizeBytes } },
  );
}

/** NOT_FOUND: no such key. */
export function noSuchKey(location: string, key: string, cause?: unknown): LazydiskError {
  return new LazydiskError('NOT_FOUND', `There is no ${key} in ${location}.`, { cause, facts: { location, key } });
}

/** EXISTS: `ifAbsent`, and the key is there. */
export function keyExists(location: string, key: string): LazydiskError {
  return new LazydiskError('EXISTS', `${key} is already there in ${location}.`, { facts: { location, key } });
}

/** The listing of `objects`, all of which begin with `prefix`, in any order: sorted, and cut at the delimiter. */
export function listingOf(objects: Iterable<StoredObject>, prefix: string, delimiter: '/' | undefined): Listing {
  const direct: StoredObject[] = [];
  const prefixes = new Set<string>();
  for (const object of objects) {
    const cut = delimiter === undefined ? -1 : object.key.indexOf(delimiter, prefix.length);
    if (cut < 0) direct.push(object);
    else prefixes.add(object.key.slice(0, cut + 1));
  }
  direct.sort((a, b) => compareKeys(a.key, b.key));
  return { objects: direct, prefixes: [...prefixes].sort(compareKeys) };
}
