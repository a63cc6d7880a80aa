/**
 * An image of containers becomes a disk: its layers, one over the other, are a tree of files.
 *
 * Each layer is unpacked into an empty folder of its own, so none can reach what another one left, through whatever links; then its
 * names are moved (`layer-hard-links.ts`, `layer-links.ts`, `layer-merge.ts`). What the image would run is not kept: a disk has no place for it.
 */
import { chmod, lstat, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bytes } from '../format/geometry.js';
import { throwIfAborted } from '../util/abort.js';
import { LazydiskError } from '../util/errors.js';
import { below, bytePath, bytesOf, entriesOf, type BytePath } from './byte-paths.js';
import { openTree } from './file-system-source.js';
import type { ImageSource, Intake } from './image-source.js';
import type { Input } from './input.js';
import { makeLooseLinks } from './layer-hard-links.js';
import { moveBehindLinks } from './layer-links.js';
import { Members } from './layer-members.js';
import { layOver } from './layer-merge.js';
import type { OpenOptions } from './open-options.js';
import { createTemporaryFolder, temporaryError } from './temporary.js';
import { untar } from './untar.js';

/** A layer of an image, not yet looked at. */
export interface Layer {
  /** For messages: `layer 2 of 3 of app.tar (sha256:…)`. */
  readonly title: string;
  /** As it is packed. */
  readonly sizeBytes: Bytes;
  /** Its tar, checked; `onIntake` is told how much of `sizeBytes` has been read. DAMAGED, UNSUPPORTED, IO, ABORTED. */
  open(onIntake: (intake: Intake) => void): Promise<Input>;
}

/** `layers`: the lowest first. `name`: of the image, for messages. What `Layer.open`, `untar` and `openTree` throw, ABORTED, NO_SPACE. */
export async function openLayers(layers: readonly Layer[], name: string, options: OpenOptions): Promise<ImageSource> {
  const { signal, onIntake, fileSystemBytes } = options;
  const totalBytes = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const temporary = createTemporaryFolder();
  try {
    const tree = join(temporary.path, 'tree');
    await makeFolder(tree);
    let doneBytes = 0;
    for (const layer of layers) {
      throwIfAborted(signal);
      const before = doneBytes;
      const onLayer = (intake: Intake): void => {
        doneBytes = before + intake.doneBytes;
        onIntake?.({ doneBytes, totalBytes });
      };
      await apply(await layer.open(onLayer), layer.title, temporary.path, tree);
    }
    return await openTree(tree, name, fileSystemBytes);
  } catch (error) {
    throw error instanceof LazydiskError ? error : temporaryError(error);
  } finally {
    await temporary.remove();
  }
}

/** Lays a layer over the tree. `input` is closed. */
async function apply(input: Input, title: string, temporary: string, tree: string): Promise<void> {
  const folder = join(temporary, 'layer');
  const members = new Members(title);
  try {
    await makeFolder(folder);
    await untar(input, title, folder, members);
  } finally {
    await input.close();
  }
  const [lower, upper] = [bytePath(tree), bytePath(folder)];
  await makeLooseLinks({ tree: lower, layer: upper, title }, members.looseLinks);
  const stated = await statedFolders(upper, members.paths);
  await moveBehindLinks({ tree: lower, layer: upper, aside: bytePath(join(temporary, 'aside')), title }, stated);
  await layOver(lower, upper, stated);
  await rename(bytesOf(upper), bytesOf(lower));
}

/** The inodes of those folders that have an entry in the archive; tar made the others up, to put something into them. */
async function statedFolders(layer: BytePath, members: ReadonlySet<BytePath>): Promise<Set<number>> {
  const inodes = new Set<number>();
  const walk = async (path: BytePath): Promise<void> => {
    if (members.has(path)) inodes.add((await lstat(bytesOf(below(layer, path)))).ino);
    for (const { name, isFolder } of await entriesOf(below(layer, path))) if (isFolder) await walk(below(path, name));
  };
  await walk('');
  return inodes;
}

/** As the top of a file system is, unless a layer says otherwise. */
async function makeFolder(path: string): Promise<void> {
  await mkdir(path);
  await chmod(path, 0o755);
}
