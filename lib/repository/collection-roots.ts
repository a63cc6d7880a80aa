/**
 * The roots of a collection: what a listing of all images says must be kept.
 *
 * Kept are living snapshots, deleted ones within the grace, and what a lock names as its base or a tag leads to. What can't be read may refer to
 * anything, so it is an error. A snapshot that is deleted while this reads is found by its tombstone, which is put before
 * the record goes.
 */
import PQueue from 'p-queue';
import { IMAGES_PREFIX, tombstoneKey } from '../format/keys.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { hasCode } from '../util/errors.js';
import type { Repository } from './api.js';
import { readTombstone } from './deletion.js';
import { listedImages, type ListedImage } from './listings.js';
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
  const { objects } = await store.list(IMAGES_PREFIX, { signal });
  const modifiedMs = new Map(objects.map((object) => [object.key, object.modifiedMs]));
  const keepImage = async (image: string, { snapshots, deleted, tags, hasLock }: ListedImage): Promise<void> => {
    const lock = hasLock ? await queue.add(() => repository.readLock(image, signal)) : null;
    const tagged = deleted.length === 0 ? [] : await readTags(store, image, tags, signal);
    const kept = new Set([lock?.base?.number, ...tagged.map(({ number }) => number)]);
    const reading = snapshots.map(({ number }) => queue.add(() => keepLiving(image, number)));
    for (const number of deleted) {
      const sinceMs = modifiedMs.get(tombstoneKey(image, number))!;
      if (!kept.has(number) && sinceMs + times.graceMs <= times.nowMs) expired.push({ image, number, sinceMs });
      else reading.push(queue.add(() => keepDeleted(image, number)));
    }
    await Promise.all(reading);
  };

  await Promise.all([...listedImages(objects)].map(([image, listed]) => keepImage(image, listed)));
  return { records, expired };
}
