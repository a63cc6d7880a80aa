/** A repository in memory for tests, and short ways to fill and read it. */
import { randomId } from '../../lib/format/checksums.js';
import { MIN_CHUNK_SIZE } from '../../lib/format/geometry.js';
import type { Codec } from '../../lib/format/references.js';
import type { SnapshotRecord } from '../../lib/format/snapshot-record.js';
import type { WriterLock } from '../../lib/format/writer-lock.js';
import type { SnapshotWriterOptions, WrittenSnapshot } from '../../lib/repository/api.js';
import { streamChunks } from '../../lib/repository/chunk-stream.js';
import { noKnownPlaces } from '../../lib/repository/known-places.js';
import { initRepository } from '../../lib/repository/repository.js';
import type { StoredRepository } from '../../lib/repository/stored-repository.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { FaultyStore } from '../helpers/faulty-store.js';

export const CHUNK = MIN_CHUNK_SIZE;

export interface World {
  readonly memory: MemoryStore;
  readonly store: FaultyStore;
  readonly repository: StoredRepository;
}

/** A new repository with chunks of 64 KiB that are stored as they are, or with zstd, and nothing counted yet. */
export async function createWorld(compression: Codec = 'none'): Promise<World> {
  const memory = new MemoryStore();
  const store = new FaultyStore(memory);
  const { repository } = await initRepository(store, { chunkSizeBytes: CHUNK, compression });
  store.resetCounts();
  return { memory, store, repository };
}

/** A chunk that is told from others by its seed; seed 0 is zeros. */
export function chunkOf(seed: number): Buffer {
  const bytes = Buffer.alloc(CHUNK);
  for (let at = 0; at + 4 <= 256 && seed !== 0; at += 4) bytes.writeUInt32LE((seed * 2654435761 + at) >>> 0, at);
  return bytes;
}

/** What chunks hold: seeds by number. */
export type Puts = ReadonlyMap<number, number>;

export async function writeTree(
  repository: StoredRepository,
  puts: Puts,
  options: Partial<SnapshotWriterOptions> & { readonly sizeBytes: number },
): Promise<WrittenSnapshot> {
  const writer = repository.writeSnapshot({
    chunkSizeBytes: CHUNK,
    base: null,
    known: noKnownPlaces,
    trees: repository.trees(),
    ...options,
  });
  for (const [chunk, seed] of puts) await writer.put(chunk, seed === 0 ? null : chunkOf(seed));
  return writer.finish();
}

/** Writes and publishes the next snapshot of an image. */
export async function publish(
  repository: StoredRepository,
  image: string,
  puts: Puts,
  sizeBytes: number,
): Promise<SnapshotRecord> {
  const { snapshots, nextNumber } = await repository.listImage(image);
  const newest = snapshots.at(-1);
  const base = newest === undefined ? null : await repository.readRecord(image, newest.number);
  const written = await writeTree(repository, puts, { sizeBytes, base });
  const record = recordOf({
    number: nextNumber,
    sizeBytes,
    root: written.root,
    requires: written.requires,
    allocatedBytes: written.allocatedBytes,
    ...(base === null ? {} : { imageId: base.imageId }),
  });
  await repository.publishRecord(image, record);
  return record;
}

export function recordOf(change: Partial<SnapshotRecord> = {}): SnapshotRecord {
  return {
    formatVersion: 1,
    requires: [],
    imageId: randomId(),
    number: 1,
    sizeBytes: CHUNK,
    chunkSizeBytes: CHUNK,
    root: null,
    allocatedBytes: 0,
    parent: null,
    timeMs: 1,
    label: '',
    commitId: randomId(),
    writerId: randomId(),
    ...change,
  };
}

export function lockOf(change: Partial<WriterLock> = {}): WriterLock {
  return {
    formatVersion: 1,
    imageId: randomId(),
    stateId: randomId(),
    host: 'somewhere',
    pid: 7,
    timeMs: 1,
    base: null,
    ...change,
  };
}

/** Seeds of all chunks of a tree that are not zero, read through the store and verified. */
export async function readBack(
  repository: StoredRepository,
  tree: Pick<SnapshotRecord, 'root' | 'sizeBytes' | 'chunkSizeBytes'>,
  seeds: Iterable<number>,
): Promise<Map<number, number>> {
  const seedOf = new Map([...seeds].map((seed) => [chunkOf(seed).toString('latin1'), seed]));
  const found = new Map<number, number>();
  for await (const { chunk, bytes } of streamChunks(repository.store, repository.trees(), tree)) {
    found.set(chunk, seedOf.get(bytes.toString('latin1')) ?? NaN);
  }
  return found;
}

/** Keys in the store that begin with `prefix`. */
export async function keysOf(store: { list: MemoryStore['list'] }, prefix = ''): Promise<string[]> {
  return (await store.list(prefix)).objects.map((object) => object.key);
}
