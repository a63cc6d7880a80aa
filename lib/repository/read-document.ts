/** A document that comes damaged is fetched again once: what was changed on the way comes right then. */
import { hasCode } from '../util/errors.js';

/** What `decode` makes of what `fetch` brings. Rejects as they do, with DAMAGED only when it came so twice. */
export async function readDocument<T>(fetch: () => Promise<Buffer>, decode: (bytes: Buffer) => T): Promise<T> {
  const bytes = await fetch();
  try {
    return decode(bytes);
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error;
  }
  return decode(await fetch());
}
