/** What is in a repository, for people: images, their snapshots, sizes, times, labels, locks. */
import PQueue from 'p-queue';
import type { Bytes } from '../format/geometry.js';
import { imagePrefix, IMAGES_PREFIX } from '../format/keys.js';
import type { RandomId } from '../format/references.js';
import type { ParentReference } from '../format/snapshot-record.js';
import type { WriterLock } from '../format/writer-lock.js';
import { hasCode, LazydiskError, messageOf } from '../util/errors.js';
import type { Repository } from './api.js';
import { isLiving, listedImages, NO_IMAGE, type ListedImage } from './listings.js';
import { readTag } from './tags.js';

/** Records that are read at once. */
const PARALLEL_READS = 16;

/** One snapshot; only `number` and `problem` when its record can't be read. */
export interface SnapshotDescription {
  readonly number: number;
  readonly sizeBytes?: Bytes;
  readonly allocatedBytes?: Bytes;
  readonly chunkSizeBytes?: Bytes;
  readonly timeMs?: number;
  readonly label?: string;
  readonly commitId?: RandomId;
  readonly parent?: ParentReference | null;
  readonly problem?: string;
}

/** A tag; only `tag` and `problem` when it can't be read. */
export interface TagDescription {
  readonly tag: string;
  readonly number?: number;
  readonly timeMs?: number;
  readonly problem?: string;
}

export interface ImageDescription {
  readonly image: string;
  /** null: no record and no lock that can be read. */
  readonly imageId: RandomId | null;
  /** Ascending. */
  readonly snapshots: readonly SnapshotDescription[];
  /** Numbers of deleted snapshots, ascending. */
  readonly deleted: readonly number[];
  readonly lock: WriterLock | null;
  /** Ascending by name. */
  readonly tags: readonly TagDescription[];
  readonly problem?: string;
}

/** All living images, or one. NOT_FOUND when that one does not live. Damaged records are described as such. */
export async function describeImages(
  repository: Repository,
  options: { readonly image?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<ImageDescription[]> {
  const { image, signal } = options;
  const prefix = image === undefined ? IMAGES_PREFIX : imagePrefix(image);
  const listed = listedImages((await repository.store.list(prefix, { signal })).objects);
  if (image !== undefined && !isLiving(listed.get(image) ?? NO_IMAGE)) {
    throw new LazydiskError('NOT_FOUND', `There is no image ${image} in ${repository.store.location}.`, {
      facts: { image },
    });
  }
  const queue = new PQueue({ concurrency: PARALLEL_READS });
  const living = [...listed].filter(([, found]) => isLiving(found));
  return Promise.all(living.map(([name, found]) => describeImage(repository, name, found, queue, signal)));
}

async function describeImage(
  repository: Repository,
  image: string,
  listed: ListedImage,
  queue: PQueue,
  signal: AbortSignal | undefined,
): Promise<ImageDescription> {
  const [records, lock, tags] = await Promise.all([
    Promise.all(
      listed.snapshots.map(({ number }) =>
        queue
          .add(() => orProblem(() => repository.readRecord(image, number, signal)))
          .then((found) => ({ number, found })),
      ),
    ),
    listed.hasLock ? queue.add(() => orProblem(() => repository.readLock(image, signal))) : null,
    Promise.all(listed.tags.map((tag) => queue.add(() => describeTag(repository, image, tag, signal)))),
  ]);
  const problem = lock !== null && 'problem' in lock ? lock.problem : undefined;
  const held = lock !== null && 'value' in lock ? lock.value : null;
  const readable = records.flatMap(({ found }) => ('value' in found ? [found.value] : []));
  return {
    image,
    imageId: readable.at(-1)?.imageId ?? held?.imageId ?? null,
    snapshots: records
      .filter(({ found }) => !('missing' in found))
      .map(({ number, found }) => {
        if (!('value' in found)) return { number, problem: 'problem' in found ? found.problem : '' };
        const { sizeBytes, allocatedBytes, chunkSizeBytes, timeMs, label, commitId, parent } = found.value;
        return { number, sizeBytes, allocatedBytes, chunkSizeBytes, timeMs, label, commitId, parent };
      }),
    deleted: listed.deleted,
    lock: held,
    tags: tags.flatMap((tag) => tag ?? []),
    ...(problem === undefined ? {} : { problem }),
  };
}

/** null: it was dropped since the listing. */
async function describeTag(
  { store }: Repository,
  image: string,
  tag: string,
  signal: AbortSignal | undefined,
): Promise<TagDescription | null> {
  const found = await orProblem(() => readTag(store, image, tag, signal));
  if ('problem' in found) return { tag, problem: found.problem };
  return 'value' in found && found.value !== null
    ? { tag, number: found.value.number, timeMs: found.value.timeMs }
    : null;
}

type Outcome<Value> = { readonly value: Value } | { readonly problem: string } | { readonly missing: true };

/** Damage of one object does not hide the others; one that was deleted since the listing is passed over. */
async function orProblem<Value>(read: () => Promise<Value>): Promise<Outcome<Value>> {
  try {
    return { value: await read() };
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return { missing: true };
    if (hasCode(error, 'DAMAGED', 'UNSUPPORTED')) return { problem: messageOf(error) };
    throw error;
  }
}
