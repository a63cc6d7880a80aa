/**
 * A layer may give one more name to a file of the layers below: a hard link whose target is not in its own archive. tar, which unpacks
 * the layer into an empty folder, can't make it; it is made here, before the layer is laid over the tree.
 *
 * Both names are walked folder by folder, and a link on the way is refused rather than followed: builders write the names under which
 * they found the files. Where the file itself is hidden or replaced by the same layer, it lives on under its new name.
 */
import { link } from 'node:fs/promises';
import { LazydiskError } from '../util/errors.js';
import { below, bytesOf, shownPath, statInside, type BytePath } from './byte-paths.js';
import type { LooseLink } from './tar-words.js';

export interface LooseLayer {
  /** The tree below, which only gets more names. */
  readonly tree: BytePath;
  readonly layer: BytePath;
  /** For messages. */
  readonly title: string;
}

/** `links`: in the order of the archive. DAMAGED: a target is nowhere, is a folder or behind a link; a name is taken. */
export async function makeLooseLinks({ tree, layer, title }: LooseLayer, links: readonly LooseLink[]): Promise<void> {
  const made = new Set<BytePath>();
  for (const { path, target } of links) {
    // What came into the layer under that name after this link was not meant by it, unless it is a link like this one.
    const from = made.has(target) ? layer : tree;
    const found = await statInside(from, target);
    if (found === undefined || found.isDirectory()) {
      throw damaged(title, `has a hard link to ${shownPath(target)}, and no file is there in it or below it`);
    }
    const folder = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    if ((await statInside(layer, folder))?.isDirectory() !== true) {
      throw damaged(title, `has a hard link at ${shownPath(path)}, which is in no folder of it`);
    }
    if ((await statInside(layer, path)) !== undefined) throw damaged(title, `has ${shownPath(path)} twice`);
    await link(bytesOf(below(from, target)), bytesOf(below(layer, path)));
    made.add(path);
  }
}

function damaged(title: string, what: string): LazydiskError {
  return new LazydiskError('DAMAGED', `${title} ${what}.`);
}
