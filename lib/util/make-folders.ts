/** Folders with their parents, on file systems of every kind. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './errors.js';

/**
 * Makes a folder and what is missing above it; one that is there is left as it is. Rejects as mkdir does. Not by Node's `recursive`: that asks
 * for ever where a file system answers ENOENT to every new folder, as /proc does.
 */
export async function makeFolders(path: string, mode?: number): Promise<void> {
  if (await isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) await makeFolders(parent, mode);
  try {
    await mkdir(path, { mode });
  } catch (error) {
    // Somebody else has made it meanwhile, perhaps.
    if (errnoOf(error) !== 'EEXIST' || !(await isFolder(path))) throw error;
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
