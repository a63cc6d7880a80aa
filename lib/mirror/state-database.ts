/**
 * The database of a state directory (node ids, places of chunks, tree nodes, what was listed last, outcomes of commands), opened
 * whatever has become of its files: nothing that was written to a disk is in it, so its damage must not stand in anybody's way.
 *
 * One that is damaged is salvaged: what can be read stays. What is lost of it is found out again from the store, but for node ids:
 * no number may come to name another content (mount/tree/node-ids.ts). So the time of the last salvage is kept in it
 * before it counts as sound.
 *
 * LevelDB's lock is held by whoever has it open; while it is opened, and so while it is salvaged, a lock on the folder stands
 * for that.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { hasCode, LazydiskError, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { tryLock } from '../util/syscalls.js';
import { LocalDatabase } from './local-database.js';

/** When it was salvaged last, milliseconds since 1970 as text; absent: never. */
export const SALVAGED_KEY = 'salvaged';

/** Opens the database in `directory`. BUSY: another process has it, or is opening it. IO. */
export async function openStateDatabase(directory: string, log: Log, now = Date.now): Promise<LocalDatabase> {
  const folder = lockFolder(directory);
  try {
    try {
      return await openAndLook(directory);
    } catch (error) {
      if (!hasCode(error, 'DAMAGED')) throw error;
      log.error(
        'The database of the state directory is damaged and is salvaged. No written data is in it. What can not be read again: ' +
          'files may get other inode numbers, a commit may upload what the store has, outcomes of commands may be forgotten.',
        { directory, reason: messageOf(error) },
      );
      return await LocalDatabase.salvage(directory, async (database) => {
        const entries = await count(database, '');
        // Before anything new is kept in it.
        await database.put(SALVAGED_KEY, Buffer.from(String(now())), { sync: true });
        log.warn('The database of the state directory has been salvaged.', { directory, entries });
      });
    }
  } finally {
    closeSync(folder);
  }
}

/** Looks at all that a mount can't begin without; what is damaged elsewhere is met later, and salvaged at the next open. */
async function openAndLook(directory: string): Promise<LocalDatabase> {
  const database = await LocalDatabase.open(directory);
  try {
    for (const prefix of ['tree/', 'fuse/']) await count(database, prefix);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function count(database: LocalDatabase, prefix: string): Promise<number> {
  const found = database.entries(prefix);
  let entries = 0;
  while ((await found.next()).done !== true) entries++;
  return entries;
}

function lockFolder(directory: string): number {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const folder = openSync(directory, 'r');
    if (tryLock(folder)) return folder;
    closeSync(folder);
  } catch (error) {
    throw new LazydiskError('IO', `The folder ${directory} can't be used: ${messageOf(error)}.`, { cause: error });
  }
  throw new LazydiskError(
    'BUSY',
    `The database in ${directory} is being opened by another lazydisk process: try again.`,
    {
      facts: { directory },
    },
  );
}
