/**
 * Lays a layer over the tree of the layers below it, as OCI's image-spec (layer.md) defines it.
 *
 * Both are folders of one file system, each unpacked by itself. Nothing is copied and no link is followed: names are moved
 * between folders that were seen to be folders, so owners, modes, attributes and hard links stay what they are. A whiteout is a name
 * of the layer and hides only what is below, wherever in the archive it stood. Of a folder that both have, the layer's own inode stays where
 * the archive had an entry for it, with the attributes of that entry; else the one below, since tar only made one up.
 */
import type { Stats } from 'node:fs';
import { lstat, rename, rm, rmdir, utimes } from 'node:fs/promises';
import { below, bytesOf, entriesOf, type BytePath } from './byte-paths.js';

export const WHITEOUT = '.wh.';
/** Hides all that the layers below have in this folder. */
export const OPAQUE = '.wh..wh..opq';

/** Afterwards the merged tree is at `upper`, and nothing at `lower`. `stated`: inodes of folders of `upper` that the archive had entries for. */
export async function layOver(lower: BytePath, upper: BytePath, stated: ReadonlySet<number>): Promise<void> {
  const [upperStat, lowerStat] = await Promise.all([lstat(bytesOf(upper)), lstat(bytesOf(lower))]);
  const [above, beneath] = await Promise.all([uncover(upper), entriesOf(lower)]);
  const surviving: BytePath[] = [];
  const merged = new Set<BytePath>();
  for (const { name, isFolder } of beneath) {
    const isHidden = above.isOpaque || above.hidden.has(name);
    const isFolderAbove = above.entries.get(name);
    if (!isHidden && isFolder && isFolderAbove === true) {
      await layOver(below(lower, name), below(upper, name), stated);
      merged.add(name);
    } else if (isHidden || isFolderAbove !== undefined) {
      await remove(below(lower, name));
    } else {
      surviving.push(name);
    }
  }
  for (const [name, isFolder] of above.entries) {
    if (isFolder && !merged.has(name)) await removeWhiteouts(below(upper, name));
  }
  if (stated.has(upperStat.ino)) {
    await moveAll(surviving, lower, upper);
    await rmdir(bytesOf(lower));
    await restoreTimes(upper, upperStat);
  } else {
    await moveAll([...above.entries.keys()], upper, lower);
    await restoreTimes(lower, lowerStat);
    await rename(bytesOf(lower), bytesOf(upper));
  }
}

/** Takes the whiteouts out of a folder of the layer that lies over nothing. */
async function removeWhiteouts(folder: BytePath): Promise<void> {
  const stat = await lstat(bytesOf(folder));
  const { entries } = await uncover(folder);
  for (const [name, isFolder] of entries) if (isFolder) await removeWhiteouts(below(folder, name));
  await restoreTimes(folder, stat);
}

interface Above {
  /** Whether each of what is not a whiteout is a folder. */
  readonly entries: ReadonlyMap<BytePath, boolean>;
  readonly hidden: ReadonlySet<BytePath>;
  readonly isOpaque: boolean;
}

/** What a folder of a layer has and hides; its whiteouts are removed, whatever else stands under such a name. */
async function uncover(folder: BytePath): Promise<Above> {
  const entries = new Map<BytePath, boolean>();
  const hidden = new Set<BytePath>();
  let isOpaque = false;
  for (const { name, isFolder } of await entriesOf(folder)) {
    if (!name.startsWith(WHITEOUT)) {
      entries.set(name, isFolder);
      continue;
    }
    if (name === OPAQUE) isOpaque = true;
    else hidden.add(name.slice(WHITEOUT.length));
    await remove(below(folder, name));
  }
  return { entries, hidden, isOpaque };
}

async function moveAll(names: readonly BytePath[], from: BytePath, to: BytePath): Promise<void> {
  for (const name of names) await rename(bytesOf(below(from, name)), bytesOf(below(to, name)));
}

async function restoreTimes(folder: BytePath, { atimeMs, mtimeMs }: Stats): Promise<void> {
  await utimes(bytesOf(folder), atimeMs / 1000, mtimeMs / 1000);
}

async function remove(path: BytePath): Promise<void> {
  await rm(bytesOf(path), { recursive: true, force: true });
}
