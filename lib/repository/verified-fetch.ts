/**
 * Fetches payloads that have a name by their hash: what comes is decoded and compared with it, fetched again once when it
 * differs, and then given up as DAMAGED, naming the segment. A segment that is missing is damage too: something points to it.
 */
import { sha256, sha256OffThread } from '../format/checksums.js';
import { decodePayload } from '../format/codec.js';
import type { Bytes } from '../format/geometry.js';
import { segmentKey } from '../format/keys.js';
import { damaged } from '../format/json.js';
import type { Codec, Place } from '../format/references.js';
import type { ObjectStore, OnBytes } from '../store/object-store.js';
import { hasCode, type LazydiskError } from '../util/errors.js';

/** Below this, hashing here is cheaper than the way to another thread. */
const HASH_HERE_BYTES = 32 * 1024;

/** How long a payload is before coding: a chunk's length is known, of a node only the most that it may be. */
export type PayloadSize = Bytes | { readonly atMost: Bytes };

/** A chunk or node, decoded, tried `attempts` times when it comes wrong. DAMAGED, UNREACHABLE, REFUSED, ABORTED. */
export async function fetchVerified(
  store: ObjectStore,
  reference: Place & { readonly id: string },
  size: PayloadSize,
  what: string,
  signal?: AbortSignal,
  attempts = 2,
): Promise<Buffer> {
  for (let attempt = 1; ; attempt++) {
    const problem = await tryFetch(store, reference, size, signal);
    if (Buffer.isBuffer(problem)) return problem;
    if (attempt === attempts) throw damaged(segmentKey(reference.segment), describe(reference, what, problem));
  }
}

/** A range of a segment, told as it arrives. DAMAGED when the segment is missing or too short. One ranged GET. */
export async function readSegmentRange(
  store: ObjectStore,
  range: { readonly segment: string; readonly offsetBytes: number; readonly lengthBytes: number },
  signal?: AbortSignal,
  onBytes?: OnBytes,
): Promise<Buffer> {
  const key = segmentKey(range.segment);
  const { offsetBytes, lengthBytes } = range;
  try {
    return await store.get(key, { range: { offsetBytes, lengthBytes }, signal, onBytes });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND') && error.facts['bucket'] === undefined) {
      throw damaged(key, 'it is missing, and something points to it', error);
    }
    throw error;
  }
}

/** The payload of stored bytes, or what is wrong with them. Large ones are decoded and hashed off this thread. */
export async function decodeVerified(
  reference: { readonly id: string; readonly codec: Codec },
  stored: Uint8Array,
  size: PayloadSize,
): Promise<Buffer | string> {
  try {
    const bytes = await decodePayload(reference.codec, stored, size);
    const hash = bytes.length <= HASH_HERE_BYTES ? sha256(bytes) : await sha256OffThread(bytes);
    return hash === reference.id ? bytes : 'its checksum is wrong';
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return problemOf(error);
    throw error;
  }
}

async function tryFetch(
  store: ObjectStore,
  reference: Place & { readonly id: string },
  size: PayloadSize,
  signal: AbortSignal | undefined,
): Promise<Buffer | string> {
  try {
    const { segment, offsetBytes, storedBytes } = reference;
    const bytes = await readSegmentRange(store, { segment, offsetBytes, lengthBytes: storedBytes }, signal);
    return await decodeVerified(reference, bytes, size);
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return problemOf(error);
    throw error;
  }
}

function problemOf(error: LazydiskError): string {
  return typeof error.facts['what'] === 'string' ? error.facts['what'] : error.message;
}

function describe(reference: Place, what: string, problem: string): string {
  return `${what} of ${reference.storedBytes} bytes at ${reference.offsetBytes}: ${problem}`;
}
