/** What came over the network, made a chunk again: decoded, and compared with its name. */
import { sha256OffThread } from '../format/checksums.js';
import { decodePayload } from '../format/codec.js';
import type { Bytes } from '../format/geometry.js';
import type { ChunkReference } from '../format/references.js';
import { hasCode } from '../util/errors.js';

/** The bytes of the chunk, decoded and hashed off this thread; undefined when `stored` is anything else. */
export async function unpack(
  reference: ChunkReference,
  chunkSizeBytes: Bytes,
  stored: Buffer,
): Promise<Uint8Array | undefined> {
  try {
    const bytes = await decodePayload(reference.codec, stored, chunkSizeBytes);
    return (await sha256OffThread(bytes)) === reference.id ? bytes : undefined;
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return undefined;
    throw error;
  }
}
