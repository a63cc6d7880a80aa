/** Which chunks' places are known: in memory for programs without a mirror, or not at all. */
import type { ChunkId, ChunkReference } from '../format/references.js';
import type { KnownPlaces } from './api.js';
import { BoundedMap } from './bounded-map.js';

/** Knows nothing and learns nothing. */
export const noKnownPlaces: KnownPlaces = {
  lookup: (ids) => Promise.resolve(ids.map(() => undefined)),
  record: () => Promise.resolve(),
};

/** Remembers the places that were used last, a quarter of a kilobyte each. */
export function memoryKnownPlaces(limit = 262_144): KnownPlaces {
  const places = new BoundedMap<ChunkId, ChunkReference>(limit);
  return {
    lookup: (ids) => Promise.resolve(ids.map((id) => places.get(id))),
    record: (references) => {
      for (const reference of references) places.set(reference.id, reference);
      return Promise.resolve();
    },
  };
}
