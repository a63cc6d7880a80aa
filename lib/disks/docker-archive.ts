/**
 * What `docker save` wrote before OCI layouts, and `podman save` still does: a tar with a manifest.json and layers beside it. It is not read
 * here, but it must not become a disk that holds tars: whoever imports it means the files in them.
 */
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { LazydiskError } from '../util/errors.js';
import { shown } from './oci-choice.js';
import { MAX_DOCUMENT_BYTES } from './oci-documents.js';

const manifest = z.array(z.object({ Config: z.string(), Layers: z.array(z.string()) })).min(1);

/** USAGE: the tree in `folder` is one. */
export async function assertNoDockerArchive(folder: string, name: string): Promise<void> {
  const path = join(folder, 'manifest.json');
  const stat = await lstat(path).catch(() => undefined);
  if (stat?.isFile() !== true || stat.size > MAX_DOCUMENT_BYTES) return;
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return; // a file of a tree like any other
  }
  if (!manifest.safeParse(value).success) return;
  throw new LazydiskError(
    'USAGE',
    `${name} is an image in the older form of docker save; convert it (\`skopeo copy docker-archive:${shown(name)} oci:FOLDER\`), ` +
      'and import the folder.',
  );
}
