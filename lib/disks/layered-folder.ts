/** A folder, or what was in a tar, that is an image of containers: in which form it comes, and then its layers. */
import { DockerArchive } from './docker-archive.js';
import type { ImageSource } from './image-source.js';
import { openLayers } from './layer-source.js';
import { wantedPlatform } from './oci-choice.js';
import { OciLayout } from './oci-layout.js';
import type { OpenOptions } from './open-options.js';
import { assertOwners } from './untar.js';
import { UntrustedFolder } from './untrusted-folder.js';

/** undefined: the folder is a tree of files. `name`: for messages. What `OciLayout`, `DockerArchive` and `openLayers` throw; USAGE: not as this user. */
export async function openLayeredFolder(
  path: string,
  name: string,
  options: OpenOptions,
): Promise<ImageSource | undefined> {
  const folder = new UntrustedFolder(path, name);
  // What docker save writes today is both, and the layout says more.
  const image = (await OciLayout.isIn(folder))
    ? new OciLayout(folder, options.signal)
    : await DockerArchive.in(folder, options.signal);
  if (image === undefined) return undefined;
  assertOwners(name, 'an image of containers');
  return openLayers(await image.layers(options.reference, wantedPlatform(options.platform)), name, options);
}
