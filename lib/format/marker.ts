/** `lazydisk.json`: makes a prefix or directory a repository, and says what may be in it. */
import * as z from 'zod';
import { isChunkSize, type Bytes } from './geometry.js';
import { randomIdSchema } from './ids.js';
import { decodeDocument, encodeDocument, FORMAT_VERSION } from './json.js';
import { MARKER_KEY } from './keys.js';
import type { RandomId } from './references.js';

export interface RepositoryMarker {
  readonly formatVersion: 1;
  readonly repositoryId: RandomId;
  /** Features that everybody who uses the repository must know. */
  readonly requires: readonly string[];
  /** Features that writers may use in records and segments. `lazydisk upgrade` adds to it. */
  readonly allows: readonly string[];
  /** Chunk size of new images. */
  readonly defaultChunkSizeBytes: Bytes;
}

const feature = z.string().min(1).max(64);

const schema: z.ZodType<RepositoryMarker> = z.looseObject({
  formatVersion: z.literal(FORMAT_VERSION),
  repositoryId: randomIdSchema,
  requires: z.array(feature).max(256),
  allows: z.array(feature).max(256),
  defaultChunkSizeBytes: z.number().refine(isChunkSize, 'expected a power of two from 64 KiB to 4 MiB'),
});

/** DAMAGED, UNSUPPORTED. */
export function decodeMarker(bytes: Uint8Array): RepositoryMarker {
  return decodeDocument(bytes, MARKER_KEY, schema);
}

export function encodeMarker(marker: RepositoryMarker): Buffer {
  return encodeDocument(marker, MARKER_KEY, schema);
}
