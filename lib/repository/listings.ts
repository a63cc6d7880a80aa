/** From keys to images: what one listing of the store says. Objects that are none of ours are passed over. */
import { parseKey } from '../format/keys.js';
import type { StoredObject } from '../store/object-store.js';
import type { SnapshotListing } from './api.js';

/** What the keys say of one image. */
export interface ListedImage {
  readonly snapshots: readonly SnapshotListing[];
  readonly deleted: readonly number[];
  readonly hasLock: boolean;
  readonly tags: readonly string[];
  readonly nextNumber: number;
}

/** A record as its key and size tell of it. */
type StoredRecord = SnapshotListing & Pick<StoredObject, 'sizeBytes'>;

/** An image that nobody has made. */
export const NO_IMAGE: ListedImage = { snapshots: [], deleted: [], hasLock: false, tags: [], nextNumber: 1 };

/**
 * Groups objects by image, names ascending. A number with a record and a tombstone is a snapshot: its deletion was
 * interrupted, and deleting it again finishes it. One whose record is empty is deleted (deletion.ts); an empty record without
 * a tombstone is a snapshot that is damaged.
 */
export function listedImages(objects: readonly StoredObject[]): Map<string, ListedImage> {
  const drafts = new Map<string, { records: StoredRecord[]; tombstones: number[]; hasLock: boolean; tags: string[] }>();
  for (const { key, sizeBytes, modifiedMs } of objects) {
    const parsed = parseKey(key);
    if (parsed === undefined || !('image' in parsed)) continue;
    const draft = drafts.get(parsed.image) ?? { records: [], tombstones: [], hasLock: false, tags: [] };
    drafts.set(parsed.image, draft);
    if (parsed.kind === 'snapshot') draft.records.push({ number: parsed.number, sizeBytes, publishedMs: modifiedMs });
    if (parsed.kind === 'tombstone') draft.tombstones.push(parsed.number);
    if (parsed.kind === 'writer') draft.hasLock = true;
    if (parsed.kind === 'tag') draft.tags.push(parsed.tag);
  }
  const images = new Map<string, ListedImage>();
  for (const image of [...drafts.keys()].sort()) {
    const { records, tombstones, hasLock, tags } = drafts.get(image)!;
    const buried = new Set(tombstones);
    const living = records.filter(({ number, sizeBytes }) => sizeBytes > 0 || !buried.has(number));
    for (const { number } of living) buried.delete(number);
    const used = [...records.map(({ number }) => number), ...tombstones];
    images.set(image, {
      snapshots: living.map(({ number, publishedMs }) => ({ number, publishedMs })).sort((a, b) => a.number - b.number),
      deleted: [...buried].sort((a, b) => a - b),
      hasLock,
      tags: tags.sort(),
      nextNumber: used.reduce((highest, number) => Math.max(highest, number), 0) + 1,
    });
  }
  return images;
}

/** Whether anybody can see it: a living snapshot or a lock. */
export function isLiving(image: ListedImage): boolean {
  return image.snapshots.length > 0 || image.hasLock;
}
