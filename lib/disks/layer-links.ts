/**
 * A layer may hold `bin/tool` without saying what `bin` is, where `bin` is a link to `usr/bin` in the layers below. Then the tool belongs
 * into `usr/bin`: it is moved there, within the layer, before the layer is laid over the tree. Where the layer says that `bin` is a folder,
 * it is one from then on.
 *
 * A link is followed by reading it, as inside of the tree: `/` is its top, and `..` does not leave it. The kernel is never given a path
 * that goes through a link.
 */
import type { Stats } from 'node:fs';
import { lstat, mkdir, readlink, rename, rmdir } from 'node:fs/promises';
import { errnoOf, LazydiskError } from '../util/errors.js';
import { below, bytesOf, entriesOf, shownPath, type BytePath } from './byte-paths.js';
import { OPAQUE, WHITEOUT } from './layer-merge.js';

/** As many links one after another as the kernel follows. */
const MAX_LINKS = 40;

export interface LinkedLayer {
  /** The tree below, of which nothing is changed. */
  readonly tree: BytePath;
  readonly layer: BytePath;
  /** A name beside both, which is free. */
  readonly aside: BytePath;
  /** For messages. */
  readonly title: string;
}

/** `stated`: inodes of the folders that the archive has entries for; none other is in it afterwards. DAMAGED: a link leads to no folder. */
export async function moveBehindLinks({ tree, layer, aside, title }: LinkedLayer, stated: Set<number>): Promise<void> {
  const waiting = await foldersIn(layer, '');
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const there = await look(below(tree, path));
    const here = await look(below(layer, path));
    if (here === undefined || there === undefined || (await isHidden(layer, path))) continue;
    if (there.isDirectory()) {
      waiting.push(...(await foldersIn(layer, path)));
    } else if (there.isSymbolicLink() && !stated.has(here.ino)) {
      const to = await resolveInside(tree, path);
      if (to === undefined) {
        throw damaged(title, `has files below ${shownPath(path)}, a link of the layers below that leads to no folder`);
      }
      await rename(bytesOf(below(layer, path)), bytesOf(aside));
      await makeFolders(layer, to, title);
      await graft(aside, { layer, to, title }, stated);
      waiting.push(...(await foldersIn(layer, to)));
    }
  }
}

/** Moves what is in `from` into the folder `to` of the layer. */
async function graft(
  from: BytePath,
  { layer, to, title }: Readonly<Record<'layer' | 'to' | 'title', string>>,
  stated: Set<number>,
): Promise<void> {
  for (const { name, isFolder } of await entriesOf(from)) {
    const [source, path] = [below(from, name), below(to, name)];
    const there = await look(below(layer, path));
    if (there === undefined) await rename(bytesOf(source), bytesOf(below(layer, path)));
    else if (there.isDirectory() && isFolder) await graft(source, { layer, to: path, title }, stated);
    else throw damaged(title, `has ${shownPath(path)} twice, once through a link of the layers below`);
  }
  // Its inode may soon be that of a folder that was made up.
  stated.delete((await lstat(bytesOf(from))).ino);
  await rmdir(bytesOf(from));
}

/** Whether the layer itself hides what is below at `path`: then nothing is there to be followed. */
async function isHidden(layer: BytePath, path: BytePath): Promise<boolean> {
  const cut = path.lastIndexOf('/');
  const folder = below(layer, path.slice(0, Math.max(cut, 0)));
  const signs = [`${WHITEOUT}${path.slice(cut + 1)}`, OPAQUE];
  return (await Promise.all(signs.map((sign) => look(below(folder, sign))))).some((sign) => sign !== undefined);
}

async function makeFolders(layer: BytePath, path: BytePath, title: string): Promise<void> {
  let made = '';
  for (const name of path.split('/').filter(Boolean)) {
    made = below(made, name);
    const there = await look(below(layer, made));
    if (there === undefined) await mkdir(bytesOf(below(layer, made)));
    else if (!there.isDirectory()) throw damaged(title, `has something else at ${shownPath(made)} than a folder`);
  }
}

/** The folder to which a path leads, free of links; undefined: to none. */
async function resolveInside(tree: BytePath, path: BytePath): Promise<BytePath | undefined> {
  const ahead = path.split('/').reverse();
  let done: string[] = [];
  let links = 0;
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      done.pop();
      continue;
    }
    const at = below(tree, [...done, name].join('/'));
    const there = await look(at);
    if (there?.isSymbolicLink() === true) {
      if (++links > MAX_LINKS) return undefined;
      const target = (await readlink(bytesOf(at), { encoding: 'buffer' })).toString('latin1');
      if (target.startsWith('/')) done = [];
      ahead.push(...target.split('/').reverse());
    } else if (there?.isDirectory() === true) {
      done.push(name);
    } else {
      return undefined;
    }
  }
  return done.join('/');
}

async function foldersIn(layer: BytePath, path: BytePath): Promise<BytePath[]> {
  const entries = await entriesOf(below(layer, path));
  return entries.filter(({ isFolder }) => isFolder).map(({ name }) => below(path, name));
}

async function look(path: BytePath): Promise<Stats | undefined> {
  return lstat(bytesOf(path)).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
}

function damaged(title: string, what: string): LazydiskError {
  return new LazydiskError('DAMAGED', `${title} ${what}.`);
}
