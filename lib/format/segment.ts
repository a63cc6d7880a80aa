/**
 * Segments: many chunks, or many tree nodes, one after the other, with an index at the end.
 *
 * Payloads are found through the tree; header, index and footer make a segment readable without any other metadata
 * (rebuilding, collection). Little-endian (docs/FORMAT.md has the tables):
 *
 *     header, 32 bytes    "LDSG", u8 version 1, u8 kind (1 chunks, 2 nodes), 10 zero bytes, segment id
 *     payloads            without gaps, in the order of the index
 *     index               52 bytes each: id 32 bytes, u32 offset, u32 stored length, u32 detail, u8 codec, 3 zero bytes,
 *                         u32 CRC-32 of the stored bytes. detail: length of a chunk before coding; level of a node
 *     footer, 40 bytes    u32 offset of the index, u32 entries, u32 CRC-32 of the header, u8 version, u8 kind, 2 zero
 *                         bytes, segment id, u32 CRC-32 of the index and of the footer up to here, "LDSE"
 */
import { LazydiskError } from '../util/errors.js';
import { crc32 } from './checksums.js';
import { isStoredSize } from './codec.js';
import { isChunkSize, type Bytes } from './geometry.js';
import { CODECS, isHash, isRandomId, MAX_SEGMENT_BYTES } from './ids.js';
import { damaged } from './json.js';
import type { Codec, SegmentId } from './references.js';
import { MAX_LEVEL } from './tree-node.js';

export type SegmentKind = 'chunks' | 'nodes';

/** One payload as the index describes it. */
export interface SegmentEntry {
  /** SHA-256 of the payload before coding. */
  readonly id: string;
  readonly offsetBytes: Bytes;
  readonly storedBytes: Bytes;
  /** Chunks: length before coding, bytes. Nodes: their level. */
  readonly detail: number;
  readonly codec: Codec;
  /** CRC-32 of the stored bytes. */
  readonly crc: number;
}

export interface SegmentIndex {
  readonly kind: SegmentKind;
  readonly segment: SegmentId;
  readonly headerCrc: number;
  readonly entries: readonly SegmentEntry[];
}

/** What a footer says, before the index is at hand. */
export interface SegmentFooter {
  readonly kind: SegmentKind;
  readonly segment: SegmentId;
  readonly indexOffsetBytes: Bytes;
  readonly entryCount: number;
  readonly headerCrc: number;
}

export const SEGMENT_HEADER_BYTES = 32;
export const SEGMENT_FOOTER_BYTES = 40;
export const SEGMENT_ENTRY_BYTES = 52;

const MAGIC = Buffer.from('LDSG', 'latin1');
const END_MAGIC = Buffer.from('LDSE', 'latin1');
const VERSION = 1;
const KINDS: readonly SegmentKind[] = ['chunks', 'nodes'];

/** The first 32 bytes. The first payload follows at SEGMENT_HEADER_BYTES. */
export function encodeSegmentHeader(kind: SegmentKind, segment: SegmentId): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(header, 0);
  header.writeUInt8(VERSION, 4);
  header.writeUInt8(KINDS.indexOf(kind) + 1, 5);
  header.write(segment, 16, 16, 'hex');
  return header;
}

/** Index and footer: what follows the last payload. USAGE when the entries do not follow one another without gaps. */
export function encodeSegmentTail(kind: SegmentKind, segment: SegmentId, entries: readonly SegmentEntry[]): Buffer {
  if (!isRandomId(segment)) throw new LazydiskError('USAGE', `${JSON.stringify(segment)} is not the id of a segment.`);
  const indexBytes = entries.length * SEGMENT_ENTRY_BYTES;
  const tail = Buffer.alloc(indexBytes + SEGMENT_FOOTER_BYTES);
  let offsetBytes = SEGMENT_HEADER_BYTES;
  entries.forEach((entry, position) => {
    const wrong = problemOf(kind, entry, offsetBytes);
    if (wrong !== undefined || !isHash(entry.id)) {
      throw new LazydiskError(
        'USAGE',
        `Entry ${position} can't be written to a segment: ${wrong ?? 'its id is no hash'}.`,
      );
    }
    const at = position * SEGMENT_ENTRY_BYTES;
    tail.write(entry.id, at, 32, 'hex');
    tail.writeUInt32LE(entry.offsetBytes, at + 32);
    tail.writeUInt32LE(entry.storedBytes, at + 36);
    tail.writeUInt32LE(entry.detail, at + 40);
    tail.writeUInt8(CODECS.indexOf(entry.codec), at + 44);
    tail.writeUInt32LE(entry.crc, at + 48);
    offsetBytes += entry.storedBytes;
  });
  const at = indexBytes;
  tail.writeUInt32LE(offsetBytes, at);
  tail.writeUInt32LE(entries.length, at + 4);
  tail.writeUInt32LE(crc32(encodeSegmentHeader(kind, segment)), at + 8);
  tail.writeUInt8(VERSION, at + 12);
  tail.writeUInt8(KINDS.indexOf(kind) + 1, at + 13);
  tail.write(segment, at + 16, 16, 'hex');
  tail.writeUInt32LE(crc32(tail.subarray(0, at + 32)), at + 32);
  END_MAGIC.copy(tail, at + 36);
  if (offsetBytes + tail.length > MAX_SEGMENT_BYTES) throw new LazydiskError('USAGE', 'A segment would be too large.');
  return tail;
}

/** Checks the first 32 bytes of a segment. DAMAGED, UNSUPPORTED. */
export function decodeSegmentHeader(bytes: Uint8Array, name: string): { kind: SegmentKind; segment: SegmentId } {
  const header = bufferOf(bytes).subarray(0, SEGMENT_HEADER_BYTES);
  if (header.length < SEGMENT_HEADER_BYTES) throw damaged(name, `a segment of ${header.length} bytes`);
  if (!header.subarray(0, 4).equals(MAGIC)) throw damaged(name, 'it does not begin as a segment does');
  assertVersion(header.readUInt8(4), name);
  const kind = KINDS[header.readUInt8(5) - 1];
  if (kind === undefined) throw damaged(name, `a segment of kind ${header.readUInt8(5)}`);
  const segment = header.toString('hex', 16, 32);
  if (!header.equals(encodeSegmentHeader(kind, segment)))
    throw damaged(name, 'a reserved field of its header is not zero');
  return { kind, segment };
}

/**
 * What the last SEGMENT_FOOTER_BYTES of an object say; tells where the index begins. `tail` are the object's last bytes, at
 * least the footer. Its checksum also covers the index and is checked by `decodeSegmentIndex`. DAMAGED, UNSUPPORTED.
 */
export function decodeSegmentFooter(tail: Uint8Array, objectSizeBytes: Bytes, name: string): SegmentFooter {
  const bytes = bufferOf(tail);
  if (
    bytes.length < SEGMENT_FOOTER_BYTES ||
    bytes.length > objectSizeBytes ||
    objectSizeBytes < SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES ||
    objectSizeBytes > MAX_SEGMENT_BYTES
  ) {
    throw damaged(name, `a segment of ${objectSizeBytes} bytes, ${bytes.length} of them at hand`);
  }
  const footer = bytes.subarray(bytes.length - SEGMENT_FOOTER_BYTES);
  if (!footer.subarray(36).equals(END_MAGIC)) throw damaged(name, 'it does not end as a segment does');
  assertVersion(footer.readUInt8(12), name);
  const kind = KINDS[footer.readUInt8(13) - 1];
  if (kind === undefined || footer.readUInt16LE(14) !== 0) throw damaged(name, 'its footer is not valid');
  const indexOffsetBytes = footer.readUInt32LE(0);
  const entryCount = footer.readUInt32LE(4);
  if (
    indexOffsetBytes < SEGMENT_HEADER_BYTES ||
    indexOffsetBytes + entryCount * SEGMENT_ENTRY_BYTES + SEGMENT_FOOTER_BYTES !== objectSizeBytes
  ) {
    throw damaged(name, `its footer says ${entryCount} entries from ${indexOffsetBytes} on`);
  }
  const segment = footer.toString('hex', 16, 32);
  return { kind, segment, indexOffsetBytes, entryCount, headerCrc: footer.readUInt32LE(8) };
}

/**
 * The index of a segment. `tail` are the object's last bytes, at least from the index on (see decodeSegmentFooter); the
 * whole object is fine. DAMAGED, UNSUPPORTED.
 */
export function decodeSegmentIndex(tail: Uint8Array, objectSizeBytes: Bytes, name: string): SegmentIndex {
  const footer = decodeSegmentFooter(tail, objectSizeBytes, name);
  const bytes = bufferOf(tail);
  const needed = objectSizeBytes - footer.indexOffsetBytes;
  if (bytes.length < needed) throw damaged(name, `${needed} bytes of its end are needed, ${bytes.length} are at hand`);
  const end = bytes.subarray(bytes.length - needed);
  const covered = end.subarray(0, end.length - 8);
  if (crc32(covered) !== end.readUInt32LE(end.length - 8)) throw damaged(name, 'its index has a wrong checksum');
  const entries: SegmentEntry[] = [];
  let offsetBytes = SEGMENT_HEADER_BYTES;
  for (let position = 0; position < footer.entryCount; position++) {
    const entry = readEntry(end, position * SEGMENT_ENTRY_BYTES, name);
    const wrong = problemOf(footer.kind, entry, offsetBytes);
    if (wrong !== undefined) throw damaged(name, `entry ${position} of its index: ${wrong}`);
    entries.push(entry);
    offsetBytes += entry.storedBytes;
  }
  if (offsetBytes !== footer.indexOffsetBytes) throw damaged(name, 'its payloads do not end where its index begins');
  return { kind: footer.kind, segment: footer.segment, headerCrc: footer.headerCrc, entries };
}

function readEntry(bytes: Buffer, at: number, name: string): SegmentEntry {
  const codecNumber = bytes.readUInt8(at + 44);
  const codec = CODECS[codecNumber];
  if (codec === undefined) {
    throw new LazydiskError('UNSUPPORTED', `${name} uses codec ${codecNumber}. Use a newer lazydisk.`, {
      facts: { object: name, codec: codecNumber },
    });
  }
  if (bytes.readUInt8(at + 45) !== 0 || bytes.readUInt16LE(at + 46) !== 0) {
    throw damaged(name, 'a reserved field of its index is not zero');
  }
  return {
    id: bytes.toString('hex', at, at + 32),
    offsetBytes: bytes.readUInt32LE(at + 32),
    storedBytes: bytes.readUInt32LE(at + 36),
    detail: bytes.readUInt32LE(at + 40),
    codec,
    crc: bytes.readUInt32LE(at + 48),
  };
}

function problemOf(kind: SegmentKind, entry: SegmentEntry, offsetBytes: number): string | undefined {
  if (entry.offsetBytes !== offsetBytes) return `it begins at ${entry.offsetBytes}, not at ${offsetBytes}`;
  if (!Number.isInteger(entry.storedBytes) || entry.storedBytes < 1 || entry.storedBytes > MAX_SEGMENT_BYTES) {
    return `${entry.storedBytes} stored bytes`;
  }
  if (kind === 'nodes') return entry.detail <= MAX_LEVEL ? undefined : `a node of level ${entry.detail}`;
  if (!isChunkSize(entry.detail)) return `a chunk of ${entry.detail} bytes`;
  return isStoredSize(entry.codec, entry.storedBytes, entry.detail)
    ? undefined
    : `${entry.storedBytes} stored bytes of a chunk of ${entry.detail}`;
}

function assertVersion(version: number, name: string): void {
  if (version === VERSION) return;
  throw new LazydiskError('UNSUPPORTED', `${name} is a segment of version ${version}. Use a newer lazydisk.`, {
    facts: { object: name, version },
  });
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
