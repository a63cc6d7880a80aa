/**
 * An image of containers becomes a disk: the layers of an OCI image layout, one over the other, are a tree of files.
 *
 * Each layer is unpacked into an empty folder of its own, so none can reach what another one left, through whatever links; then its
 * names are moved (`layer-hard-links.ts`, `layer-links.ts`, `layer-merge.ts`). What the image would run is not kept: a disk has no place for it.
 */
import { chmod, lstat, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../util/abort.js';
import { LazydiskError } from '../util/errors.js';
import { below, bytePath, bytesOf, entriesOf, type BytePath } from './byte-paths.js';
import { openTree } from './file-system-source.js';
import type { ImageSource, Intake } from './image-source.js';
import type { Input } from './input.js';
import { makeLooseLinks } from './layer-hard-links.js';
import { moveBehindLinks } from './layer-links.js';
import { layOver } from './layer-merge.js';
import { wantedPlatform } from './oci-choice.js';
import { OciLayout, type Layer } from './oci-layout.js';
import type { OpenOptions } from './open-options.js';
import type { LooseLink } from './tar-words.js';
import { createTemporaryFolder, temporaryError } from './temporary.js';
import { unpacked } from './unpacking.js';
import { assertOwners, untar } from './untar.js';

/** The layout in a folder. `name`: for messages. What `OciLayout` and `openTree` throw, ABORTED, NO_SPACE. */
export async function openLayout(folder: string, name: string, options: OpenOptions): Promise<ImageSource> {
  assertOwners(name, 'an OCI image layout');
  const { reference, platform, signal, onIntake, fileSystemBytes } = options;
  const layout = new OciLayout(folder, name, signal);
  const layers = await layout.layers(reference, wantedPlatform(platform));
  const totalBytes = layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
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
      const packed = await layout.openLayer(layer, onLayer);
      await apply(packed, layer, temporary.path, tree);
    }
    return await openTree(tree, name, fileSystemBytes);
  } catch (error) {
    throw error instanceof LazydiskError ? error : temporaryError(error);
  } finally {
    await temporary.remove();
  }
}

/** Lays a layer over the tree. `packed` is closed. */
async function apply(packed: Input, { packing, title }: Layer, temporary: string, tree: string): Promise<void> {
  const folder = join(temporary, 'layer');
  const members = new Set<BytePath>();
  const looseLinks: LooseLink[] = [];
  let input = packed;
  try {
    await makeFolder(folder);
    if (packing !== 'none') input = await unpacked(packed, title, { kind: 'packed', name: packing });
    await untar(input, title, folder, {
      onMember: (path) => members.add(path),
      onLooseLink: (link) => looseLinks.push(link),
    });
  } finally {
    await input.close();
  }
  const [lower, upper] = [bytePath(tree), bytePath(folder)];
  await makeLooseLinks({ tree: lower, layer: upper, title }, looseLinks);
  const stated = await statedFolders(upper, members);
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
