/** Images for tests: a raw file on the disk, imported into a repository. */
import { join } from 'node:path';
import type { CommitOutcome } from '../../lib/image/api.js';
import { type Extent, makeSparseFile } from './contents.js';
import { lazydiskJson, mustLazydisk } from './program.js';
import { createRepository, type RepositoryKind, type TestRepository } from './repositories.js';
import { temporaryFolder } from './temporary.js';

export const KIB = 1024;
export const MIB = 1024 * KIB;

/** What most tests import: 32 MiB, data and holes, none of them aligned to anything. */
export const SOME_EXTENTS: readonly Extent[] = [
  { offset: 0, lengthBytes: 3 * MIB + 512 },
  { offset: 5 * MIB + 1024, lengthBytes: 700 * KIB },
  { offset: 20 * MIB, lengthBytes: 4096 },
  { offset: 31 * MIB, lengthBytes: MIB },
];

export interface ImportedImage {
  readonly repository: TestRepository;
  readonly name: string;
  /** The file that was imported: what reads of the image must show. */
  readonly original: string;
  readonly sizeBytes: number;
}

/** A new repository that holds one image. */
export async function repositoryWithImage(
  kind: RepositoryKind = 'file',
  options: { sizeBytes?: number; extents?: readonly Extent[]; name?: string; seed?: number } = {},
): Promise<ImportedImage> {
  const { sizeBytes = 32 * MIB, extents = SOME_EXTENTS, name = 'base', seed = 1 } = options;
  const repository = await createRepository(kind);
  const original = join(temporaryFolder('original'), `${name}.raw`);
  await makeSparseFile(original, sizeBytes, extents, seed);
  await importFile(repository, original, name);
  return { repository, name, original, sizeBytes };
}

export async function importFile(repository: TestRepository, file: string, image: string): Promise<void> {
  await mustLazydisk(['import', repository.url, file, image], { env: repository.env });
}

export async function commit(
  mounted: { readonly mountpoint: string; readonly repository: TestRepository },
  image: string,
): Promise<CommitOutcome> {
  const { env } = mounted.repository;
  return (await lazydiskJson(['commit', mounted.mountpoint, image], { env })) as CommitOutcome;
}
