/** Folders with their parents, on file systems of every kind, and names in them that survive the host. */
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errnoOf } from './errors.js';

/**
 * Makes a folder and what is missing above it; one that is there is left as it is. Resolves to the topmost one that was made, undefined
 * when none was. Rejects as mkdir does. Not by Node's `recursive`: that asks for ever where a file system answers ENOENT to every
 * new folder, as /proc does.
 */
export async function makeFolders(path: string, mode?: number): Promise<string | undefined> {
  if (await isFolder(path)) return undefined;
  const parent = dirname(path);
  const above = parent === path ? undefined : await makeFolders(parent, mode);
  try {
    await mkdir(path, { mode });
  } catch (error) {
    // Somebody else has made it meanwhile, perhaps.
    if (errnoOf(error) !== 'EEXIST' || !(await isFolder(path))) throw error;
  }
  return above ?? path;
}

/** As `makeFolders`, for this user alone; the names are durable when it resolves. */
export async function makeDurableFolder(path: string): Promise<void> {
  const wanted = resolve(path);
  const topmost = await makeFolders(wanted, 0o700);
  if (topmost === undefined) return;
  for (let made = wanted; made.length >= topmost.length; made = dirname(made)) await syncFolder(dirname(made));
}

/** Syncs a folder: names made or removed in it are durable when it resolves. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
