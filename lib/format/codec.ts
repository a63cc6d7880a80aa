/**
 * Payloads <-> stored bytes: how a chunk or a node stands in its segment. The only place that knows what a codec does.
 *
 * Ids are hashes of the payload, so coding never changes a name, and a chunk that was stored with another codec, level or
 * implementation is the same chunk. What comes from a repository is untrusted: decoding allocates no more than the size that
 * is expected, and what does not give exactly that is DAMAGED.
 */
import { compress, decompress, type DecodeOptions } from '../util/zstd/zstd.js';
import { frameContentSize } from '../util/zstd/frame.js';
import { LazydiskError } from '../util/errors.js';
import type { Bytes } from './geometry.js';
import type { Codec } from './references.js';
import { mayShrink } from './shrinks.js';

/** Level 3 stores 4 % less of the guest image and takes 1.6 times the processor (docs/decisions/0007-zstd.md). */
const ZSTD_LEVEL = 1;

/** What does not shrink to less than this part stays as it is: decoding costs more than such a saving brings. */
const WORTHWHILE = 7 / 8;

/** A payload as it stands in a segment. */
export interface EncodedPayload {
  readonly codec: Codec;
  readonly stored: Uint8Array;
}

/** Encodes with `codec`, or with `none` where that brings too little. Large payloads are coded off this thread. */
export async function encodePayload(codec: Codec, payload: Uint8Array): Promise<EncodedPayload> {
  if (codec === 'none' || !(await mayShrink(payload, ZSTD_LEVEL))) return { codec: 'none', stored: payload };
  const stored = await compress(payload, ZSTD_LEVEL);
  const isWorthwhile = stored.length < payload.length * WORTHWHILE && frameContentSize(stored) === payload.length;
  return isWorthwhile ? { codec, stored } : { codec: 'none', stored: payload };
}

/** Whether a payload of `sizeBytes` may be stored in `storedBytes` with this codec. */
export function isStoredSize(codec: Codec, storedBytes: Bytes, sizeBytes: Bytes): boolean {
  return codec === 'none' ? storedBytes === sizeBytes : storedBytes >= 1 && storedBytes < sizeBytes;
}

/**
 * The payload. `size` is its length, or the most that it may have where only that is known (nodes). With the codec `none` the
 * result is a view of `stored`. DAMAGED, with `what` in its facts, when it is anything else. `options`: where it is decoded, and
 * memory of the length that is expected, in which the result may lie; it is the caller's again when this has settled.
 */
export async function decodePayload(
  codec: Codec,
  stored: Uint8Array,
  size: Bytes | { readonly atMost: Bytes },
  options?: DecodeOptions,
): Promise<Buffer> {
  const said = codec === 'none' ? stored.length : frameContentSize(stored);
  if (said === undefined) throw undecodable(`${stored.length} bytes are not one zstd frame that says its size`);
  if (typeof size === 'number' ? said !== size : said > size.atMost) {
    const expected = typeof size === 'number' ? `${size}` : `at most ${size.atMost}`;
    throw undecodable(`${stored.length} stored bytes hold ${said} where ${expected} were expected`);
  }
  const payload = codec === 'none' ? stored : await decompress(stored, said, options);
  if (payload === undefined) throw undecodable(`a zstd frame of ${stored.length} bytes can't be decoded`);
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length);
}

function undecodable(what: string): LazydiskError {
  return new LazydiskError('DAMAGED', `Stored bytes can't be decoded: ${what}.`, { facts: { what } });
}
