/** Waiting for something that others wait for too: one caller's leaving must not end it for them. */
import { setMaxListeners } from 'node:events';
import { LazydiskError } from './errors.js';

/** One signal may end hundreds of waits: Node warns of a leak at the eleventh listener, and there is none. */
export function allowManyWaits(signal: AbortSignal): void {
  setMaxListeners(0, signal);
}

/** Resolves as `shared` does, or rejects with ABORTED when the signal fires first; `shared` goes on. */
export async function orAborted<T>(shared: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return shared;
  allowManyWaits(signal);
  let leave = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    leave = (): void => {
      reject(new LazydiskError('ABORTED', 'The caller went away.', { cause: signal.reason }));
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  });
  aborted.catch(() => undefined);
  try {
    return await Promise.race([shared, aborted]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** Throws ABORTED when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new LazydiskError('ABORTED', 'The caller went away.', { cause: signal.reason });
  }
}
