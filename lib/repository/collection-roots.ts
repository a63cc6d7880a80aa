/**
 * The roots of a collection: what a listing of all images says must be kept.
 *
 * Kept are living snapshots, deleted ones within the grace, and what a lock names as its base or a tag leads to. What can't be read may refer to
 * anything, so it is an error. A snapshot that is deleted while this reads is found by its tombstone, which is put before
 * the record goes.
 */
import PQueue from 'p-queue';
import { IMAGES_PREFIX, parseKey } from '../format/keys.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { hasCode } from '../util/errors.js';
import type { Repository } from './api.js';
import { readTombstone } from './deletion.js';
import { readTags } from './tags.js';

/** Documents that are read at once. */
const PARALLEL_READS = 16;

/** A tombstone whose grace is over; it may have lost its record already. */
export interface ExpiredTombstone {
  readonly image: string;
  readonly number: number;
  /** When it was put, by the store's clock. */
  readonly sinceMs: number;
}

export interface Roots {
  readonly records: readonly SnapshotRecord[];
  readonly expired: readonly ExpiredTombstone[];
}

interface ListedImage {
  readonly living: Set<number>;
  readonly deleted: { readonly number: number; readonly sinceMs: number }[];
  readonly tags: string[];
  hasLock: boolean;
}

/** `nowMs`: the store's time. DAMAGED, UNSUPPORTED, and the errors of the store. */
export async function readRoots(
  repository: Repository,
  times: { readonly nowMs: number; readonly graceMs: number },
  signal?: AbortSignal,
): Promise<Roots> {
  const { store } = repository;
  const queue = new PQueue({ concurrency: PARALLEL_READS });
  const records: SnapshotRecord[] = [];
  const expired: ExpiredTombstone[] = [];

  const keepDeleted = async (image: string, number: number): Promise<void> => {
    const tombstone = await readTombstone(store, image, number, signal);
    if (tombstone?.record) records.push(tombstone.record);
  };
  const keepLiving = async (image: string, number: number): Promise<void> => {
    try {
      records.push(await repository.readRecord(image, number, signal));
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND') || error.facts['bucket'] !== undefined) throw error;
      await keepDeleted(image, number);
    }
  };
  const keepImage = async (image: string, { living, deleted, tags, hasLock }: ListedImage): Promise<void> => {
    const lock = hasLock ? await queue.add(() => repository.readLock(image, signal)) : null;
    const tagged = deleted.length === 0 ? [] : await readTags(store, image, tags, signal);
    const kept = new Set([lock?.base?.number, ...tagged.map(({ number }) => number)]);
    const reading = [...living].map((number) => queue.add(() => keepLiving(image, number)));
    for (const { number, sinceMs } of deleted.filter(({ number }) => !living.has(number))) {
      if (!kept.has(number) && sinceMs + times.graceMs <= times.nowMs) expired.push({ image, number, sinceMs });
      else reading.push(queue.add(() => keepDeleted(image, number)));
    }
    await Promise.all(reading);
  };

  const images = await listImages(repository, signal);
  await Promise.all([...images].map(([image, listed]) => keepImage(image, listed)));
  return { records, expired };
}

async function listImages(repository: Repository, signal: AbortSignal | undefined): Promise<Map<string, ListedImage>> {
  const { objects } = await repository.store.list(IMAGES_PREFIX, { signal });
  const images = new Map<string, ListedImage>();
  for (const { key, modifiedMs } of objects) {
    const parsed = parseKey(key);
    if (parsed === undefined || !('image' in parsed)) continue;
    const listed = images.get(parsed.image) ?? { living: new Set(), deleted: [], tags: [], hasLock: false };
    images.set(parsed.image, listed);
    if (parsed.kind === 'snapshot') listed.living.add(parsed.number);
    if (parsed.kind === 'tombstone') listed.deleted.push({ number: parsed.number, sinceMs: modifiedMs });
    if (parsed.kind === 'writer') listed.hasLock = true;
    if (parsed.kind === 'tag') listed.tags.push(parsed.tag);
  }
  return images;
}
