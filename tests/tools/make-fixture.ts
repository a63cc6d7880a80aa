/**
 * Made the frozen repositories of tests/fixtures (repository-v1 with the compression `none`, repository-v1-zstd with `zstd`), and
 * stays as the description of what is in them.
 *
 * A repository of this format version must be readable for ever, so a fixture is made once: this tool refuses to write
 * into a folder that exists. Beside the repository, `contents.json` has the SHA-256 of every snapshot's bytes, computed from
 * the plain buffers here and not by reading the repository. It runs compiled:
 *
 *     npx tsc -p tsconfig.json --outDir .cache/fixture
 *     node .cache/fixture/tests/tools/make-fixture.js tests/fixtures/repository-vN COMPRESSION
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Readable } from 'node:stream';
import type { Codec } from '../../lib/format/references.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { importImage } from '../../lib/repository/import.js';
import { memoryKnownPlaces } from '../../lib/repository/known-places.js';
import { initRepository } from '../../lib/repository/repository.js';
import { DirectoryStore } from '../../lib/store/directory-store.js';

export const FIXTURE_CHUNK_BYTES = 64 * 1024;

/** What contents.json says of a snapshot. */
export interface FixtureSnapshot {
  readonly image: string;
  readonly number: number;
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly label: string;
  readonly sha256: string;
}

export interface FixtureContents {
  readonly repositoryId: string;
  readonly snapshots: readonly FixtureSnapshot[];
  readonly deleted: readonly { readonly image: string; readonly number: number }[];
  readonly locked: readonly string[];
}

/** Text-like bytes, so that a difference is easy to look at: the seed and the offset, again and again. */
function pattern(seed: string, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  for (let at = 0; at < lengthBytes; at += 16)
    bytes.write(`${seed} ${at.toString(16)}`.padEnd(15) + '\n', at, 'latin1');
  return bytes;
}

/** Writes the fixture into `folder`, which must not exist. */
export async function makeFixture(folder: string, compression: Codec): Promise<FixtureContents> {
  if (existsSync(folder)) throw new Error(`${folder} exists; a fixture is frozen and never written again`);
  await mkdir(folder, { recursive: true });
  const store = new DirectoryStore(join(folder, 'repository'));
  const { repository } = await initRepository(store, { chunkSizeBytes: FIXTURE_CHUNK_BYTES, compression });
  const known = memoryKnownPlaces();
  const snapshots: FixtureSnapshot[] = [];
  const publish = async (image: string, label: string, bytes: Buffer) => {
    const source = { kind: 'stream', stream: Readable.from([bytes]) } as const;
    const made = await importImage(repository, { source, image, label, known, format: 'raw' });
    const { number, sizeBytes, allocatedBytes } = made;
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    snapshots.push({ image, number, sizeBytes, allocatedBytes, label, sha256 });
  };

  // Three leaves, a size that is no multiple of anything, holes of whole leaves, equal chunks.
  const debian = Buffer.alloc(600 * FIXTURE_CHUNK_BYTES + 777);
  pattern('boot', 70_000).copy(debian, 0);
  pattern('equal', FIXTURE_CHUNK_BYTES).copy(debian, 10 * FIXTURE_CHUNK_BYTES);
  pattern('equal', FIXTURE_CHUNK_BYTES).copy(debian, 550 * FIXTURE_CHUNK_BYTES);
  pattern('end', 777).copy(debian, 600 * FIXTURE_CHUNK_BYTES);
  await publish('debian-12', 'imported', debian);
  pattern('second', 512).copy(debian, 1024);
  debian.fill(0, 10 * FIXTURE_CHUNK_BYTES, 11 * FIXTURE_CHUNK_BYTES);
  await publish('debian-12', 'a sector written, a chunk discarded — ünïcode', debian);
  await publish('debian-12', 'to be deleted', Buffer.concat([debian, pattern('extra', 5000)]));
  await publish('debian-12', 'shrunk inside a chunk', debian.subarray(0, 550 * FIXTURE_CHUNK_BYTES + 1000));
  const grown = Buffer.alloc(700 * FIXTURE_CHUNK_BYTES);
  debian.copy(grown, 0, 0, 550 * FIXTURE_CHUNK_BYTES + 1000);
  await publish('debian-12', 'grown', grown);
  await repository.deleteSnapshot('debian-12', 3);
  const deleted = [{ image: 'debian-12', number: 3 }];

  const writerId = '00112233445566778899aabbccddeeff';
  const clone = await cloneSnapshot(repository, {
    from: 'debian-12',
    number: 2,
    to: 'vm-01',
    writerId,
    label: 'clone',
  });
  const source = snapshots.find(({ image, number }) => image === 'debian-12' && number === 2)!;
  snapshots.push({ ...source, image: 'vm-01', number: clone.number, label: 'clone' });
  const vm = Buffer.from(debian);
  pattern('vm-01', 3 * FIXTURE_CHUNK_BYTES).copy(vm, 100 * FIXTURE_CHUNK_BYTES + 5);
  await publish('vm-01', 'written', vm);
  await repository.takeLock('vm-01', {
    formatVersion: 1,
    imageId: clone.imageId,
    stateId: writerId,
    host: 'example',
    pid: 4711,
    timeMs: 1_700_000_000_000,
    base: { number: clone.number, commitId: clone.commitId },
  });
  await publish('empty', 'no bytes at all', Buffer.alloc(0));
  await publish('empty', 'only zeros', Buffer.alloc(3 * FIXTURE_CHUNK_BYTES));

  const contents: FixtureContents = {
    repositoryId: repository.id,
    snapshots: snapshots.filter(
      ({ image, number }) => !deleted.some((gone) => gone.image === image && gone.number === number),
    ),
    deleted,
    locked: ['vm-01'],
  };
  await writeFile(join(folder, 'contents.json'), `${JSON.stringify(contents, null, 2)}\n`);
  await store.close();
  return contents;
}

const [, script, folder, compression] = process.argv;
if (script !== undefined && import.meta.url === pathToFileURL(script).href) {
  if (folder === undefined || (compression !== 'none' && compression !== 'zstd')) {
    throw new Error('usage: make-fixture FOLDER none|zstd');
  }
  await makeFixture(resolve(folder), compression);
}
