/**
 * Tags in the store: `tags/<tag>.json` beside an image's snapshots. Moving one is one put, and of two who move it at once the
 * last one wins.
 *
 * A tag keeps its snapshot: deleting that is refused (deletion.ts), and collections keep the data of a deleted snapshot that
 * a tag leads to (collection-roots.ts). So the race that nothing here can exclude, a tag that is put in the moment in which
 * its snapshot is deleted, costs nothing but an undelete: whoever uses the tag is told so.
 */
import PQueue from 'p-queue';
import { parseKey, tagKey, tagsPrefix } from '../format/keys.js';
import { decodeTag, encodeTag, type Tag } from '../format/tag.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { Repository } from './api.js';
import { orNull, readDocument } from './read-document.js';

/** Tags that are read at once. */
const PARALLEL_READS = 16;

/** null: there is none. USAGE (name), DAMAGED, UNSUPPORTED, and the errors of the store. */
export async function readTag(
  store: ObjectStore,
  image: string,
  tag: string,
  signal?: AbortSignal,
): Promise<Tag | null> {
  const key = tagKey(image, tag);
  const found = readDocument(
    () => store.get(key, { signal }),
    (bytes) => decodeTag(bytes, key, tag),
  );
  return orNull(found);
}

/** Where a tag leads. NOT_FOUND says which tags there are. DAMAGED, UNSUPPORTED. */
export async function taggedNumber(
  store: ObjectStore,
  image: string,
  tag: string,
  signal?: AbortSignal,
): Promise<number> {
  const found = await readTag(store, image, tag, signal);
  if (found !== null) return found.number;
  throw noSuchTag(image, tag, await tagNames(store, image, signal));
}

/** Names of an image's tags, ascending: one LIST. */
export async function tagNames(store: ObjectStore, image: string, signal?: AbortSignal): Promise<string[]> {
  const { objects } = await store.list(tagsPrefix(image), { signal });
  return objects.flatMap(({ key }) => {
    const parsed = parseKey(key);
    return parsed?.kind === 'tag' ? [parsed.tag] : [];
  });
}

/** Those of the named tags that are (still) there, in their order. DAMAGED, UNSUPPORTED. */
export async function readTags(
  store: ObjectStore,
  image: string,
  names: readonly string[],
  signal?: AbortSignal,
): Promise<Tag[]> {
  const queue = new PQueue({ concurrency: PARALLEL_READS });
  const found = await Promise.all(names.map((tag) => queue.add(() => readTag(store, image, tag, signal))));
  return found.filter((tag) => tag !== null);
}

/**
 * Puts a tag on a snapshot, wherever it was before; resolves to where that was (null: it is new). NOT_FOUND: no such
 * snapshot, also when it was deleted meanwhile. USAGE (name). A tag that was damaged counts as none.
 */
export async function moveTag(
  repository: Repository,
  image: string,
  tag: string,
  number: number,
  options: { readonly nowMs?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<{ moved: Tag; before: Tag | null }> {
  const { nowMs = Date.now(), signal } = options;
  const { store } = repository;
  const key = tagKey(image, tag);
  const [{ commitId }, before] = await Promise.all([
    repository.readLivingRecord(image, number, signal),
    readTag(store, image, tag, signal).catch((error: unknown) => {
      if (hasCode(error, 'DAMAGED')) return null;
      throw error;
    }),
  ]);
  const moved: Tag = { formatVersion: 1, tag, number, commitId, timeMs: nowMs };
  await store.put(key, encodeTag(moved, key), { signal });
  // A deletion that began before the put has not seen the tag.
  await repository.readLivingRecord(image, number, signal);
  return { moved, before };
}

/** Removes a tag, also a damaged one. NOT_FOUND says which there are. */
export async function dropTag(store: ObjectStore, image: string, tag: string, signal?: AbortSignal): Promise<void> {
  const key = tagKey(image, tag);
  const names = await tagNames(store, image, signal);
  if (!names.includes(tag)) throw noSuchTag(image, tag, names);
  await store.delete(key, { signal });
}

/**
 * Removes tags that are in the way of deleting what they lead to; resolves to those that are gone. One that was moved since it
 * was read leads to something else, and stays.
 */
export async function dropTagsOf<Known extends Pick<Tag, 'tag' | 'number'>>(
  store: ObjectStore,
  image: string,
  tags: readonly Known[],
): Promise<Known[]> {
  const dropped: Known[] = [];
  for (const known of tags) {
    if ((await readTag(store, image, known.tag))?.number !== known.number) continue;
    await store.delete(tagKey(image, known.tag));
    dropped.push(known);
  }
  return dropped;
}

/** NOT_FOUND. */
export function noSuchTag(image: string, tag: string, names: readonly string[]): LazydiskError {
  const there = names.length === 0 ? 'it has no tags' : `its tags are ${names.join(', ')}`;
  return new LazydiskError('NOT_FOUND', `${image} has no tag ${tag}; ${there}.`, { facts: { image, tag } });
}
