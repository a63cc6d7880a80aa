/**
 * Paths of files whose names may be any bytes, as Linux allows: a string in which every character is one byte (latin1), so that it can be
 * compared and be a key; turned into bytes where the kernel gets it.
 */
import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { errnoOf } from '../util/errors.js';

/** One character a byte. */
export type BytePath = string;

export interface ByteEntry {
  readonly name: BytePath;
  readonly isFolder: boolean;
}

export function bytePath(path: string): BytePath {
  return Buffer.from(path, 'utf8').toString('latin1');
}

export function bytesOf(path: BytePath): Buffer {
  return Buffer.from(path, 'latin1');
}

/** `''` is the folder itself. */
export function below(folder: BytePath, path: BytePath): BytePath {
  return folder === '' || path === '' ? folder + path : `${folder}/${path}`;
}

/** As it may stand in a sentence, from the top of the tree. */
export function shownPath(path: BytePath): string {
  return JSON.stringify(`/${bytesOf(path).toString('utf8')}`);
}

/** What a folder holds, without following a link. */
export async function entriesOf(folder: BytePath): Promise<ByteEntry[]> {
  const entries = await readdir(bytesOf(folder), { withFileTypes: true, encoding: 'buffer' });
  return entries.map((entry) => ({ name: entry.name.toString('latin1'), isFolder: entry.isDirectory() }));
}

/** What is at a path below a folder; undefined: nothing, or a part of the path is no folder. No link is followed, and `..` leads nowhere. */
export async function statInside(folder: BytePath, path: BytePath): Promise<Stats | undefined> {
  let at = folder;
  let found: Stats | undefined;
  for (const name of path.split('/')) {
    if (name === '..' || found?.isDirectory() === false) return undefined;
    at = below(at, name);
    try {
      found = await lstat(bytesOf(at));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
  return found;
}
