/** What one repository is, and what one snapshot is: the facts of marker, record, tags, lock and listing in one value. */
import type { Bytes } from '../format/geometry.js';
import { SEGMENTS_PREFIX, parseKey } from '../format/keys.js';
import type { RandomId } from '../format/references.js';
import type { ParentReference } from '../format/snapshot-record.js';
import type { WriterLock } from '../format/writer-lock.js';
import type { TreeReader } from './api.js';
import { readProfile } from './profiles.js';
import type { StoredRepository } from './stored-repository.js';
import { readTags } from './tags.js';
import { diffTrees } from './tree-diff.js';

export interface RepositoryInfo {
  readonly location: string;
  readonly repositoryId: RandomId;
  readonly formatVersion: number;
  /** What everybody must know who uses it, and what writers may use. */
  readonly requires: readonly string[];
  readonly allows: readonly string[];
  readonly defaultChunkSizeBytes: Bytes;
  readonly images: number;
  readonly snapshots: number;
  readonly deletedSnapshots: number;
  readonly tags: number;
  /** Images that somebody holds for writing. */
  readonly locks: number;
  readonly segments: number;
  /** Bytes of all segments, what nothing refers to included. */
  readonly segmentBytes: Bytes;
}

export interface SnapshotInfo {
  readonly image: string;
  readonly number: number;
  readonly imageId: RandomId;
  readonly sizeBytes: Bytes;
  readonly chunkSizeBytes: Bytes;
  readonly allocatedBytes: Bytes;
  /** How its chunks are stored, all in all; null: not asked for, since all tree nodes have to be read for it. */
  readonly stored: { readonly chunks: number; readonly bytes: Bytes } | null;
  readonly parent: ParentReference | null;
  readonly timeMs: number;
  readonly label: string;
  readonly commitId: RandomId;
  readonly writerId: RandomId;
  readonly requires: readonly string[];
  /** Tags that lead to it. */
  readonly tags: readonly string[];
  /** Whether it is the newest of its image. */
  readonly isNewest: boolean;
  /** The image's lock, boot profile (how many boots made it, bytes in it) and other snapshots. */
  readonly lock: WriterLock | null;
  readonly profile: { readonly boots: number; readonly bytes: Bytes } | null;
  readonly snapshots: readonly number[];
}

/** Two listings, whatever is in it. */
export async function repositoryInfo(repository: StoredRepository, signal?: AbortSignal): Promise<RepositoryInfo> {
  const { store, marker } = repository;
  const [images, { objects }] = await Promise.all([
    repository.imageSummaries(signal),
    store.list(SEGMENTS_PREFIX, { signal }),
  ]);
  const segments = objects.filter(({ key }) => parseKey(key)?.kind === 'segment');
  const { repositoryId, formatVersion, requires, allows, defaultChunkSizeBytes } = marker;
  return {
    location: store.location,
    repositoryId,
    formatVersion,
    requires,
    allows,
    defaultChunkSizeBytes,
    images: images.length,
    snapshots: sum(images.map(({ snapshots }) => snapshots.length)),
    deletedSnapshots: sum(images.map(({ deleted }) => deleted.length)),
    tags: sum(images.map(({ tags }) => tags.length)),
    locks: images.filter(({ hasLock }) => hasLock).length,
    segments: segments.length,
    segmentBytes: sum(segments.map(({ sizeBytes }) => sizeBytes)),
  };
}

/** NOT_FOUND, DAMAGED, UNSUPPORTED. `stored`: whether to read the whole tree. */
export async function snapshotInfo(
  repository: StoredRepository,
  { image, number }: { readonly image: string; readonly number: number },
  { stored, signal }: { readonly stored: boolean; readonly signal?: AbortSignal | undefined },
): Promise<SnapshotInfo> {
  const { store } = repository;
  const [record, listing, profile] = await Promise.all([
    repository.readLivingRecord(image, number, signal),
    repository.listImage(image, signal),
    readProfile(store, image, signal),
  ]);
  const tags = await readTags(store, image, listing.tags, signal);
  const { imageId, sizeBytes, chunkSizeBytes, allocatedBytes, parent, timeMs, label } = record;
  const { commitId, writerId, requires } = record;
  const snapshots = listing.snapshots.map((snapshot) => snapshot.number);
  return {
    ...{ image, number, imageId, sizeBytes, chunkSizeBytes, allocatedBytes },
    stored: stored ? await storedOf(repository.trees(), record, signal) : null,
    ...{ parent, timeMs, label, commitId, writerId, requires },
    tags: tags.filter((tag) => tag.number === number).map(({ tag }) => tag),
    isNewest: snapshots.at(-1) === number,
    lock: listing.writer,
    profile:
      profile?.imageId === imageId
        ? { boots: profile.boots, bytes: sum(profile.ranges.map(({ lengthBytes }) => lengthBytes)) }
        : null,
    snapshots,
  };
}

/** All that differs from an empty disk. */
async function storedOf(
  trees: TreeReader,
  record: Parameters<typeof diffTrees>[2],
  signal: AbortSignal | undefined,
): Promise<{ chunks: number; bytes: Bytes }> {
  const total = { chunks: 0, bytes: 0 };
  for await (const { after } of diffTrees(trees, { ...record, root: null }, record, signal)) {
    total.chunks++;
    total.bytes += after?.storedBytes ?? 0;
  }
  return total;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
