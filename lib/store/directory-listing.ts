/**
 * Files below a directory as a listing of objects.
 *
 * The walk goes only where the prefix leads. With a delimiter a subdirectory becomes a prefix when there is an object
 * somewhere below it, found by looking until the first one; otherwise it is walked. What vanishes during the walk is left
 * out, as is every file whose path is no key. Errors are those of node:fs.
 */
import { readdir, stat } from 'node:fs/promises';
import type { Dirent, Stats } from 'node:fs';
import { join } from 'node:path';
import { isAbsence } from './atomic-file.js';
import { compareKeys, keyProblem } from './keys.js';
import type { Listing, StoredObject } from './object-store.js';

/** How many files are looked at at once: enough to hide the latency of a network file system, few for the disk. */
const STATS_AT_ONCE = 32;

/** What begins with `prefix` below `root`. `check` is called now and then, and may throw to end the walk. */
export async function listDirectory(
  root: string,
  prefix: string,
  delimiter: '/' | undefined,
  check: () => void,
): Promise<Listing> {
  const objects: StoredObject[] = [];
  const prefixes: string[] = [];

  async function walk(directoryKey: string): Promise<void> {
    check();
    const entries = await entriesOf(root, directoryKey, prefix);
    for (let at = 0; at < entries.length; at += STATS_AT_ONCE) {
      check();
      await Promise.all(entries.slice(at, at + STATS_AT_ONCE).map(visit));
    }
  }

  async function visit({ key, kind }: Entry): Promise<void> {
    const found = kind === 'directory' ? undefined : await statOf(join(root, key));
    if (kind === 'directory' || found?.isDirectory()) {
      if (delimiter === undefined) await walk(`${key}/`);
      else if (await holdsObject(root, `${key}/`)) prefixes.push(`${key}/`);
    } else if (found?.isFile()) {
      objects.push({ key, sizeBytes: found.size, modifiedMs: Math.floor(found.mtimeMs) });
    }
  }

  await walk(prefix.slice(0, prefix.lastIndexOf('/') + 1));
  objects.sort((a, b) => compareKeys(a.key, b.key));
  return { objects, prefixes: prefixes.sort(compareKeys) };
}

interface Entry {
  readonly key: string;
  readonly kind: 'directory' | 'other';
}

/** Entries of the directory (a key that ends in `/`, or empty for the root) that are keys and begin with `prefix`. */
async function entriesOf(root: string, directoryKey: string, prefix: string): Promise<Entry[]> {
  let found: Dirent[];
  try {
    found = await readdir(join(root, directoryKey), { withFileTypes: true });
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
  return found
    .map((entry): Entry => ({
      key: directoryKey + entry.name,
      kind: entry.isDirectory() ? 'directory' : 'other',
    }))
    .filter(({ key }) => key.startsWith(prefix) && keyProblem(key) === undefined);
}

/** Whether there is an object anywhere below. */
async function holdsObject(root: string, directoryKey: string): Promise<boolean> {
  const entries = await entriesOf(root, directoryKey, directoryKey);
  for (const { key, kind } of entries) {
    if (kind === 'other' && (await statOf(join(root, key)))?.isFile()) return true;
  }
  for (const { key, kind } of entries) {
    if (kind === 'directory' && (await holdsObject(root, `${key}/`))) return true;
  }
  return false;
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}
