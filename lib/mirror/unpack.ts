/** What came over the network, made a chunk again: decoded, and compared with its name. */
import { sha256, sha256OffThread } from '../format/checksums.js';
import { decodePayload } from '../format/codec.js';
import type { Bytes } from '../format/geometry.js';
import type { ChunkReference } from '../format/references.js';
import { hasCode } from '../util/errors.js';

/**
 * Chunks up to this size are decoded and hashed on this thread: 0.4 ms for 256 KiB. The ways to another thread and back, and the copy
 * for hashing there, cost half as much again (docs/decisions/0019-taking-in-chunks.md). Larger ones would hold up readers.
 */
const UNPACKED_HERE_BYTES = 1024 * 1024;

/** The bytes of the chunk, in `memory` of its size or elsewhere; undefined when `stored` is anything else. */
export async function unpack(
  reference: ChunkReference,
  chunkSizeBytes: Bytes,
  stored: Buffer,
  memory: Buffer,
): Promise<Uint8Array | undefined> {
  try {
    const isHere = chunkSizeBytes <= UNPACKED_HERE_BYTES;
    const options = { into: memory, thread: isHere ? 'this' : 'any' } as const;
    const bytes = await decodePayload(reference.codec, stored, chunkSizeBytes, options);
    const id = isHere ? sha256(bytes) : await sha256OffThread(bytes);
    return id === reference.id ? bytes : undefined;
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return undefined;
    throw error;
  }
}
