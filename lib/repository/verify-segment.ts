/** Checks one segment that was read whole: header, index, every payload, and every reference into it. */
import { crc32 } from '../format/checksums.js';
import { MAX_CHUNK_SIZE } from '../format/geometry.js';
import { CODECS } from '../format/ids.js';
import { segmentKey } from '../format/keys.js';
import type { Place, SegmentId } from '../format/references.js';
import {
  decodeSegmentHeader,
  decodeSegmentIndex,
  SEGMENT_HEADER_BYTES,
  type SegmentEntry,
  type SegmentIndex,
} from '../format/segment.js';
import { MAX_NODE_BYTES } from '../format/tree-node.js';
import { hasCode, messageOf } from '../util/errors.js';
import { decodeVerified } from './verified-fetch.js';

/** What a leaf or node says of one payload. */
type Reference = Omit<Place, 'segment'> & { readonly id: string };

/** What points into one segment: packed, since an image of a terabyte has millions of chunks. */
export class References {
  /** Per reference: 32 bytes of id, u32 offset, u32 stored length, u8 codec. */
  static readonly #BYTES = 41;
  #packed = Buffer.alloc(16 * References.#BYTES);
  #count = 0;

  add(id: string, place: Place): void {
    if ((this.#count + 1) * References.#BYTES > this.#packed.length) {
      this.#packed = Buffer.concat([this.#packed, Buffer.alloc(this.#packed.length)]);
    }
    const at = this.#count * References.#BYTES;
    this.#packed.write(id, at, 32, 'hex');
    this.#packed.writeUInt32LE(place.offsetBytes, at + 32);
    this.#packed.writeUInt32LE(place.storedBytes, at + 36);
    this.#packed.writeUInt8(CODECS.indexOf(place.codec), at + 40);
    this.#count++;
  }

  *[Symbol.iterator](): Generator<Reference> {
    for (let at = 0; at < this.#count * References.#BYTES; at += References.#BYTES) {
      yield {
        id: this.#packed.toString('hex', at, at + 32),
        offsetBytes: this.#packed.readUInt32LE(at + 32),
        storedBytes: this.#packed.readUInt32LE(at + 36),
        codec: CODECS[this.#packed.readUInt8(at + 40)]!,
      };
    }
  }
}

/** What was found: problems in words, and the ids of the chunks that are whole. */
export interface SegmentFindings {
  readonly problems: readonly string[];
  readonly chunks: readonly string[];
}

/** `bytes` are the whole segment. Payloads are decoded and hashed off this thread. */
export async function checkSegment(
  segment: SegmentId,
  bytes: Buffer,
  references: References,
): Promise<SegmentFindings> {
  const problems: string[] = [];
  const chunks: string[] = [];
  const index = readIndex(segment, bytes, problems);
  const byOffset = new Map<number, SegmentEntry>();
  for (const entry of index?.entries ?? []) {
    byOffset.set(entry.offsetBytes, entry);
    const stored = bytes.subarray(entry.offsetBytes, entry.offsetBytes + entry.storedBytes);
    const what = `the ${entry.storedBytes} bytes at ${entry.offsetBytes}`;
    const size = index?.kind === 'chunks' ? entry.detail : { atMost: MAX_NODE_BYTES };
    const payload = await decodeVerified(entry, stored, size);
    if (typeof payload === 'string') problems.push(`${what}: ${payload}`);
    else if (crc32(stored) !== entry.crc) problems.push(`${what} have another CRC-32 than the index says`);
    else if (index?.kind === 'chunks') chunks.push(entry.id);
  }
  for (const reference of references) {
    const problem = await checkReference(reference, bytes, index === undefined ? undefined : byOffset);
    if (problem !== undefined) problems.push(problem);
  }
  return { problems, chunks };
}

function readIndex(segment: SegmentId, bytes: Buffer, problems: string[]): SegmentIndex | undefined {
  const name = segmentKey(segment);
  try {
    const header = decodeSegmentHeader(bytes, name);
    const index = decodeSegmentIndex(bytes, bytes.length, name);
    if (header.segment !== segment || index.segment !== segment) problems.push('it says that it is another segment');
    if (header.kind !== index.kind) problems.push('its header and its footer name different kinds');
    if (crc32(bytes.subarray(0, SEGMENT_HEADER_BYTES)) !== index.headerCrc)
      problems.push('its header has a wrong CRC-32');
    return index;
  } catch (error) {
    if (!hasCode(error, 'DAMAGED', 'UNSUPPORTED')) throw error;
    const { what } = error.facts;
    problems.push(typeof what === 'string' ? what : messageOf(error));
    return undefined;
  }
}

/** With an index the reference must be in it; without one its bytes are decoded and hashed. */
async function checkReference(
  reference: Reference,
  bytes: Buffer,
  index: ReadonlyMap<number, SegmentEntry> | undefined,
): Promise<string | undefined> {
  const { id, offsetBytes, storedBytes, codec } = reference;
  const what = `something points to ${storedBytes} bytes at ${offsetBytes}`;
  if (index === undefined) {
    if (offsetBytes + storedBytes > bytes.length) return `${what}, beyond its end`;
    const stored = bytes.subarray(offsetBytes, offsetBytes + storedBytes);
    const payload = await decodeVerified(reference, stored, { atMost: MAX_CHUNK_SIZE });
    return typeof payload === 'string' ? `the ${storedBytes} bytes at ${offsetBytes}: ${payload}` : undefined;
  }
  const entry = index.get(offsetBytes);
  if (entry?.id === id && entry.storedBytes === storedBytes && entry.codec === codec) return undefined;
  return `${what}, where its index has ${entry === undefined ? 'nothing' : 'something else'}`;
}
