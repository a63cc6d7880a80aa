/** Reading small objects whole. */
import { hasCode } from '../util/errors.js';

/** What was asked of a store; null: there is no such object. Rejects as `asked` does, also where the bucket is missing. */
export async function orNull<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND') && error.facts['bucket'] === undefined) return null;
    throw error;
  }
}

/**
 * What `decode` makes of what `fetch` brings. A document that comes damaged is fetched again once: what was changed on the
 * way comes right then. Rejects as they do, with DAMAGED only when it came so twice.
 */
export async function readDocument<T>(fetch: () => Promise<Buffer>, decode: (bytes: Buffer) => T): Promise<T> {
  const bytes = await fetch();
  try {
    return decode(bytes);
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error;
  }
  return decode(await fetch());
}
