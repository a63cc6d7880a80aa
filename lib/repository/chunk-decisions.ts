/**
 * What the new tree gets for each chunk that is put: what is there already, or something that has to be stored.
 *
 * In this order: zeros have no name; what the base has at that place stays; what this run has placed, and what other runs have
 * placed in a form that this repository allows, is referred to. All else is new. Known places are a help: when they can't be
 * asked, the chunk is new.
 */
import { sha256, sha256OffThread } from '../format/checksums.js';
import { isStoredSize } from '../format/codec.js';
import type { Bytes, ChunkNumber } from '../format/geometry.js';
import type { ChunkId, ChunkReference, Codec } from '../format/references.js';
import type { KnownPlaces } from './api.js';

/** Larger chunks are hashed off this thread, where they hold nobody up; smaller ones here, without a copy. */
const HASHED_HERE_BYTES = 1024 * 1024;

/** A chunk as it is put; zeros have neither bytes nor a name. */
export type PutChunk =
  | { readonly chunk: ChunkNumber; readonly bytes: null }
  | { readonly chunk: ChunkNumber; readonly bytes: Uint8Array; readonly id: ChunkId | Promise<ChunkId> };

/** A chunk that has to get a place. */
export interface NewChunk {
  readonly kind: 'new';
  readonly chunk: ChunkNumber;
  readonly bytes: Uint8Array;
  readonly id: ChunkId;
}

/** A chunk of zeros (null), or one that has a place already. Its bytes are not needed any more. */
export interface SettledChunk {
  readonly kind: 'settled';
  readonly chunk: ChunkNumber;
  readonly reference: ChunkReference | null;
  readonly bytes: Uint8Array | null;
}

export type ChunkDecision = NewChunk | SettledChunk;

export interface DecisionParts {
  readonly chunkSizeBytes: Bytes;
  /** What the repository allows. */
  readonly codec: Codec;
  /** What the base has at a chunk. */
  readonly baseEntry: (chunk: ChunkNumber) => Promise<ChunkReference | null>;
  /** Whether this run has a place for the chunk: then nobody else is asked. */
  readonly isPlaced: (id: ChunkId) => boolean;
  readonly known: KnownPlaces;
  /** Called with each chunk that is not zero, once its name is known. */
  readonly onHashed?: ((id: ChunkId, bytes: Uint8Array) => void) | undefined;
}

type Hashed = Omit<NewChunk, 'kind'>;

/** The chunk's name; it begins to be computed here. */
export function putChunk(chunk: ChunkNumber, bytes: Uint8Array | null): PutChunk {
  if (bytes === null) return { chunk, bytes };
  if (bytes.length <= HASHED_HERE_BYTES) return { chunk, bytes, id: sha256(bytes) };
  const id = sha256OffThread(bytes);
  id.catch(() => undefined); // awaited in its turn
  return { chunk, bytes, id };
}

/** Decides about some chunks, looked up together, in their order. Rejects when the base can't be read. */
export async function decideChunks(batch: readonly PutChunk[], parts: DecisionParts): Promise<ChunkDecision[]> {
  const changed = new Map<ChunkNumber, Hashed>();
  const unchanged = new Map<ChunkNumber, ChunkReference>();
  for (const put of batch) {
    if (put.bytes === null) continue;
    const hashed = { chunk: put.chunk, bytes: put.bytes, id: await put.id };
    parts.onHashed?.(hashed.id, hashed.bytes);
    const before = await parts.baseEntry(put.chunk);
    if (before?.id === hashed.id) unchanged.set(put.chunk, before);
    else changed.set(put.chunk, hashed);
  }
  const places = await placesElsewhere([...changed.values()], parts);
  return batch.map(({ chunk, bytes }) => {
    const hashed = changed.get(chunk);
    const reference = unchanged.get(chunk) ?? (hashed === undefined ? null : places.get(hashed.id));
    return reference === undefined ? { kind: 'new', ...hashed! } : { kind: 'settled', chunk, bytes, reference };
  });
}

/** Places that other runs have given to chunks. */
async function placesElsewhere(
  changed: readonly Hashed[],
  { known, isPlaced, codec, chunkSizeBytes }: DecisionParts,
): Promise<ReadonlyMap<ChunkId, ChunkReference>> {
  const ids = [...new Set(changed.map(({ id }) => id))].filter((id) => !isPlaced(id));
  const found = new Map<ChunkId, ChunkReference>();
  if (ids.length === 0) return found;
  const places = await known.lookup(ids).catch(() => []);
  for (const [position, id] of ids.entries()) {
    const place = places[position];
    if (place?.id !== id || !isStoredSize(place.codec, place.storedBytes, chunkSizeBytes)) continue;
    if (place.codec === 'none' || place.codec === codec) found.set(id, place);
  }
  return found;
}
