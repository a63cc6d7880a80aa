/** A tar archive becomes a disk: it is unpacked into a folder that only its owner may look into, which then is a tree or an image of containers. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openTree } from './file-system-source.js';
import type { ImageSource } from './image-source.js';
import type { Input } from './input.js';
import { openLayeredFolder } from './layered-folder.js';
import { assertNoChoice, type OpenOptions } from './open-options.js';
import { createTemporaryFolder } from './temporary.js';
import { assertOwners, untar } from './untar.js';

/** As `openTree` and `openLayeredFolder`, DAMAGED, and what `input` throws, which is closed. */
export async function openArchive(input: Input, name: string, options: OpenOptions): Promise<ImageSource> {
  assertOwners(name, 'a tar archive');
  const folder = createTemporaryFolder();
  try {
    const root = join(folder.path, 'root');
    await mkdir(root);
    await untar(input, name, root);
    // How much of it has come has been told.
    const image = await openLayeredFolder(root, name, { ...options, onIntake: undefined });
    if (image !== undefined) return image;
    assertNoChoice(options, name);
    return await openTree(root, name, options.fileSystemBytes);
  } finally {
    await folder.remove();
    await input.close();
  }
}
