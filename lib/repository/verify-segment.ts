/** Checks one segment that was read whole: header, index, every payload, and every reference into it. */
import { crc32 } from '../format/checksums.js';
import type { Bytes } from '../format/geometry.js';
import { segmentKey } from '../format/keys.js';
import type { Place, SegmentId } from '../format/references.js';
import {
  decodeSegmentHeader,
  decodeSegmentIndex,
  SEGMENT_HEADER_BYTES,
  type SegmentEntry,
  type SegmentIndex,
} from '../format/segment.js';
import { hasCode, messageOf } from '../util/errors.js';

/** What points into one segment: packed, since an image of a terabyte has millions of chunks. */
export class References {
  /** Per reference: 32 bytes of id, u32 offset, u32 stored length. */
  static readonly #BYTES = 40;
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
    this.#count++;
  }

  *[Symbol.iterator](): Generator<{ id: string; offsetBytes: Bytes; storedBytes: Bytes }> {
    for (let at = 0; at < this.#count * References.#BYTES; at += References.#BYTES) {
      yield {
        id: this.#packed.toString('hex', at, at + 32),
        offsetBytes: this.#packed.readUInt32LE(at + 32),
        storedBytes: this.#packed.readUInt32LE(at + 36),
      };
    }
  }
}

/** What was found: problems in words, and the ids of the chunks that are whole. */
export interface SegmentFindings {
  readonly problems: readonly string[];
  readonly chunks: readonly string[];
}

/** `hash` is SHA-256, possibly on another thread. */
export async function checkSegment(
  segment: SegmentId,
  bytes: Buffer,
  references: References,
  hash: (bytes: Uint8Array) => Promise<string>,
): Promise<SegmentFindings> {
  const problems: string[] = [];
  const chunks: string[] = [];
  const index = readIndex(segment, bytes, problems);
  const byOffset = new Map<number, SegmentEntry>();
  for (const entry of index?.entries ?? []) {
    byOffset.set(entry.offsetBytes, entry);
    const payload = bytes.subarray(entry.offsetBytes, entry.offsetBytes + entry.storedBytes);
    const what = `the ${entry.storedBytes} bytes at ${entry.offsetBytes}`;
    if ((await hash(payload)) !== entry.id) problems.push(`${what} have a wrong SHA-256`);
    else if (crc32(payload) !== entry.crc) problems.push(`${what} have another CRC-32 than the index says`);
    else if (index?.kind === 'chunks') chunks.push(entry.id);
  }
  for (const reference of references) {
    const problem = await checkReference(reference, bytes, index === undefined ? undefined : byOffset, hash);
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

/** With an index the reference must be in it; without one its bytes are hashed. */
async function checkReference(
  reference: { id: string; offsetBytes: Bytes; storedBytes: Bytes },
  bytes: Buffer,
  index: ReadonlyMap<number, SegmentEntry> | undefined,
  hash: (bytes: Uint8Array) => Promise<string>,
): Promise<string | undefined> {
  const { id, offsetBytes, storedBytes } = reference;
  const what = `something points to ${storedBytes} bytes at ${offsetBytes}`;
  if (index === undefined) {
    if (offsetBytes + storedBytes > bytes.length) return `${what}, beyond its end`;
    const isRight = (await hash(bytes.subarray(offsetBytes, offsetBytes + storedBytes))) === id;
    return isRight ? undefined : `the ${storedBytes} bytes at ${offsetBytes} have a wrong SHA-256`;
  }
  const entry = index.get(offsetBytes);
  if (entry?.id === id && entry.storedBytes === storedBytes) return undefined;
  return `${what}, where its index has ${entry === undefined ? 'nothing' : 'something else'}`;
}
