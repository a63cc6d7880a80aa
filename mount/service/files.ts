/**
 * Small files that must be whole at every moment, also after the power went: written beside, synced, renamed, and the
 * folder synced. Readers see the old content or the new one.
 */
import { randomBytes } from 'node:crypto';
import { link, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf } from '../../lib/util/errors.js';
import { makeFolders } from '../../lib/util/folders.js';

/** Replaces (or makes) the file, mode 0600 by default. Durable when it resolves. */
export async function replaceFile(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = await writeBeside(path, text, mode);
  try {
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Makes the file, mode 0600, unless it is there already: of several callers at once exactly one gets true. */
export async function createFile(path: string, text: string): Promise<boolean> {
  const temporary = await writeBeside(path, text, 0o600);
  try {
    await link(temporary, path);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(dirname(path));
  return true;
}

/** Removes what processes have left that were killed while they replaced the file. Nobody may be replacing it meanwhile. */
export async function removeUnfinished(path: string): Promise<void> {
  const folder = dirname(path);
  const names = await readdir(folder);
  const unfinished = names.filter((name) => name.startsWith(`${basename(path)}.`) && name.endsWith('.new'));
  await Promise.all(unfinished.map((name) => rm(join(folder, name), { force: true })));
}

/** Makes a folder (and its parents) that only its owner may enter. */
export async function makePrivateFolder(path: string): Promise<void> {
  await makeFolders(path, 0o700);
}

async function writeBeside(path: string, text: string, mode: number): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.new`;
  const file = await open(temporary, 'wx', mode);
  try {
    await file.chmod(mode); // the umask may have taken bits away
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  return temporary;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
