/** Makes and opens repositories: the marker `lazydisk.json` decides what is one. */
import { randomId } from '../format/checksums.js';
import { DEFAULT_CHUNK_SIZE, isChunkSize, type Bytes } from '../format/geometry.js';
import { KNOWN_FEATURES, ZSTD_FEATURE } from '../format/json.js';
import { MARKER_KEY } from '../format/keys.js';
import { decodeMarker, encodeMarker, type RepositoryMarker } from '../format/marker.js';
import type { Codec } from '../format/references.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { orNull, readDocument } from './read-document.js';
import { StoredRepository } from './stored-repository.js';

export interface InitOptions {
  /** Chunk size of new images, bytes; 256 KiB for a new repository when it is not given. */
  readonly chunkSizeBytes?: Bytes | undefined;
  /** Whether writers may compress; `zstd` for a new repository when it is not given. */
  readonly compression?: Codec | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a repository, or finds that there is one already (`created` false). USAGE: no chunk size. CONFLICT: there is one
 * with another chunk size or compression than what was asked for. UNSUPPORTED: the store ignores If-None-Match; nothing is left.
 */
export async function initRepository(
  store: ObjectStore,
  options: InitOptions = {},
): Promise<{ repository: StoredRepository; created: boolean }> {
  const { chunkSizeBytes, compression, signal } = options;
  if (chunkSizeBytes !== undefined && !isChunkSize(chunkSizeBytes)) {
    throw new LazydiskError(
      'USAGE',
      `A chunk size is a power of two from 64 KiB to 4 MiB, not ${chunkSizeBytes} bytes.`,
    );
  }
  const there = (await readMarker(store, signal)) ?? (await putMarker(store, options));
  const repository = new StoredRepository(store, there.marker, there.bytes);
  try {
    await repository.assertExclusivePuts(signal);
  } catch (error) {
    if (there.created && hasCode(error, 'UNSUPPORTED')) await store.delete(MARKER_KEY, { signal });
    throw error;
  }
  const { defaultChunkSizeBytes } = there.marker;
  if (!there.created && chunkSizeBytes !== undefined && chunkSizeBytes !== defaultChunkSizeBytes) {
    throw new LazydiskError(
      'CONFLICT',
      `${store.location} is a repository already, with a chunk size of ${defaultChunkSizeBytes} bytes, not ${chunkSizeBytes}.`,
      { facts: { repositoryId: repository.id, defaultChunkSizeBytes } },
    );
  }
  const found = compressionOf(there.marker);
  if (!there.created && compression !== undefined && compression !== found) {
    throw new LazydiskError(
      'CONFLICT',
      `${store.location} is a repository already, with the compression ${found}, not ${compression}` +
        (compression === 'none' ? '; it stays.' : '; `lazydisk upgrade` turns it on.'),
      { facts: { repositoryId: repository.id, compression: found } },
    );
  }
  return { repository, created: there.created };
}

/** What writers of a repository may compress with. */
export function compressionOf(marker: RepositoryMarker): Codec {
  return marker.allows.includes(ZSTD_FEATURE) ? 'zstd' : 'none';
}

/**
 * Lets writers use every feature that this version knows, and says which ones are new to the repository. Older versions can't
 * read what is written from then on; what is there is not touched. NOT_FOUND when there is no repository, DAMAGED,
 * UNSUPPORTED.
 */
export async function upgradeRepository(
  store: ObjectStore,
  signal?: AbortSignal,
): Promise<{ marker: RepositoryMarker; added: string[] }> {
  const { marker } = await openRepository(store, { signal });
  const added = KNOWN_FEATURES.filter((feature) => !marker.allows.includes(feature));
  if (added.length === 0) return { marker, added };
  const upgraded = { ...marker, allows: [...marker.allows, ...added] };
  // Two upgrades at once write the same; nothing else in the marker ever changes.
  await store.put(MARKER_KEY, encodeMarker(upgraded), { signal });
  return { marker: upgraded, added };
}

/**
 * Opens a repository. With a marker that was kept from an earlier opening no request is made: so a mount starts while the
 * store is away. NOT_FOUND when there is no repository, DAMAGED, UNSUPPORTED, and the errors of the store.
 */
export async function openRepository(
  store: ObjectStore,
  options: { readonly marker?: RepositoryMarker | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<StoredRepository> {
  if (options.marker !== undefined) return new StoredRepository(store, options.marker);
  const found = await readMarker(store, options.signal);
  if (found === null) {
    throw new LazydiskError(
      'NOT_FOUND',
      `${store.location} is not a lazydisk repository; make one with \`lazydisk init ${store.location}\`.`,
      { facts: { location: store.location } },
    );
  }
  return new StoredRepository(store, found.marker, found.bytes);
}

interface FoundMarker {
  readonly marker: RepositoryMarker;
  /** As it stands in the store. */
  readonly bytes: Buffer;
  readonly created: boolean;
}

async function readMarker(store: ObjectStore, signal: AbortSignal | undefined): Promise<FoundMarker | null> {
  const marker = readDocument(
    () => store.get(MARKER_KEY, { signal }),
    (bytes) => ({ marker: decodeMarker(bytes), bytes, created: false }),
  );
  return orNull(marker);
}

/** Somebody else may be faster: then theirs counts. */
async function putMarker(
  store: ObjectStore,
  { chunkSizeBytes = DEFAULT_CHUNK_SIZE, compression = 'zstd', signal }: InitOptions,
): Promise<FoundMarker> {
  const marker: RepositoryMarker = {
    formatVersion: 1,
    repositoryId: randomId(),
    requires: [],
    allows: compression === 'zstd' ? [ZSTD_FEATURE] : [],
    defaultChunkSizeBytes: chunkSizeBytes,
  };
  try {
    const bytes = encodeMarker(marker);
    await store.put(MARKER_KEY, bytes, { ifAbsent: true, signal });
    return { marker, bytes, created: true };
  } catch (error) {
    if (!hasCode(error, 'EXISTS')) throw error;
  }
  const found = await readMarker(store, signal);
  if (found === null) throw new LazydiskError('CONFLICT', `${MARKER_KEY} comes and goes; try again.`);
  // Our own put may have succeeded unseen: then it is ours.
  return { ...found, created: found.marker.repositoryId === marker.repositoryId };
}
