/**
 * Whose boot profile an image boots by: its own, else that of the image it was cloned from, as far up as there is one.
 *
 * The first two are asked for at once, so that a clone waits one round trip for its parent's. Records on the way up are those
 * of snapshots, read once and then known. A profile of another image of the same name does not count.
 */
import type { BootProfile } from '../format/profile.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { readProfile } from '../repository/profiles.js';
import type { ObjectStore } from '../store/object-store.js';
import type { Subject } from './attendance.js';

/** A profile, and the image that it was found with. */
export interface FoundProfile {
  readonly image: string;
  readonly profile: BootProfile;
}

export interface LookupParts {
  readonly store: ObjectStore;
  readonly readRecord: (image: string, number: number, signal?: AbortSignal) => Promise<SnapshotRecord>;
}

/** How many snapshots up it looks. */
const MAX_STEPS = 8;

/** undefined: there is none. DAMAGED, UNREACHABLE, ABORTED. */
export async function findProfile(
  { image, imageId, parent }: Subject,
  { store, readRecord }: LookupParts,
  signal: AbortSignal,
): Promise<FoundProfile | undefined> {
  const asked = new Map<string, Promise<BootProfile | null>>();
  const ask = (name: string): Promise<BootProfile | null> => {
    const known = asked.get(name) ?? readProfile(store, name, signal);
    asked.set(name, known);
    // Of two that were asked for at once the second may fail unseen.
    known.catch(() => undefined);
    return known;
  };
  if (parent !== null) void ask(parent.image);
  const own = await ask(image);
  if (own?.imageId === imageId) return { image, profile: own };
  let ancestor = parent;
  for (let step = 0; step < MAX_STEPS && ancestor !== null; step++) {
    const profile = await ask(ancestor.image);
    if (profile?.imageId === ancestor.imageId) return { image: ancestor.image, profile };
    const record = await readRecord(ancestor.image, ancestor.number, signal);
    if (record.imageId !== ancestor.imageId) return undefined;
    ancestor = record.parent;
  }
  return undefined;
}
