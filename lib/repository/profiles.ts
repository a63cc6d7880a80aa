/**
 * Boot profiles in the store: `profile.json` beside an image's snapshots. The last one who writes wins; a profile is a hint,
 * and two that race are as good as one.
 */
import { profileKey } from '../format/keys.js';
import { decodeBootProfile, encodeBootProfile, type BootProfile } from '../format/profile.js';
import type { ObjectStore } from '../store/object-store.js';
import { orNull } from './read-document.js';

/** null: there is none. DAMAGED, UNSUPPORTED, UNREACHABLE. */
export async function readProfile(
  store: ObjectStore,
  image: string,
  signal?: AbortSignal,
): Promise<BootProfile | null> {
  const key = profileKey(image);
  const bytes = await orNull(store.get(key, { signal }));
  return bytes === null ? null : decodeBootProfile(bytes, key);
}

export async function writeProfile(
  store: ObjectStore,
  image: string,
  profile: BootProfile,
  signal?: AbortSignal,
): Promise<void> {
  const key = profileKey(image);
  await store.put(key, encodeBootProfile(profile, key), { signal });
}

/** Also when there is none. */
export async function dropProfile(store: ObjectStore, image: string, signal?: AbortSignal): Promise<void> {
  await store.delete(profileKey(image), { signal });
}
