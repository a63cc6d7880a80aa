/**
 * Tree nodes: 256 entries, each null (zeros) or a reference to a chunk (level 0) or to a node of the level below.
 *
 * The encoding is canonical: one value, one sequence of bytes, so that equal nodes have equal ids and are shared. A node's
 * id is the SHA-256 of these bytes. Little-endian (docs/FORMAT.md has the table):
 *
 *     0   "LDTN"          4  version 1       5  level 0 to 3     6  u16 segments, 1 to 256
 *     8   u16 entries that are not null, 1 to 256               10  u16 zero
 *     12  bitmap, 32 bytes: bit i % 8 of byte i / 8 is set when entry i is not null
 *     44  segment ids, 16 bytes each, in the order of their first use
 *     ..  entries that are not null, in order: id 32 bytes, u32 offset, u32 stored length, u8 segment, u8 codec
 *
 * A node of nothing but nulls is never written: whoever points to it says null instead.
 */
import { TREE_FANOUT } from './geometry.js';
import { CODECS, isHash, isPlace, MAX_SEGMENT_BYTES } from './ids.js';
import { damaged } from './json.js';
import type { ChunkReference, TreeNode } from './references.js';
import { LazydiskError } from '../util/errors.js';

/** A root of level 3 covers 2^32 chunks; 8 TiB of 64 KiB chunks are 2^27. */
export const MAX_LEVEL = 3;

const MAGIC = Buffer.from('LDTN', 'latin1');
const VERSION = 1;
const BITMAP_OFFSET = 12;
const TABLE_OFFSET = BITMAP_OFFSET + TREE_FANOUT / 8;
const SEGMENT_BYTES = 16;
const ENTRY_BYTES = 42;

/** Smallest and largest encoded node, bytes. */
export const MIN_NODE_BYTES = TABLE_OFFSET + SEGMENT_BYTES + ENTRY_BYTES;
export const MAX_NODE_BYTES = TABLE_OFFSET + TREE_FANOUT * (SEGMENT_BYTES + ENTRY_BYTES);

/** Encodes a node. `entries` may be shorter than 256: what is missing is null. USAGE when it has no entry or a bad one. */
export function encodeTreeNode(node: TreeNode): Buffer {
  const present: [index: number, reference: ChunkReference][] = [];
  const segments = new Map<string, number>();
  node.entries.forEach((reference, index) => {
    if (reference === null) return;
    if (!isHash(reference.id) || !isPlace(reference)) throw unwritable(`entry ${index} is not a valid reference`);
    if (!segments.has(reference.segment)) segments.set(reference.segment, segments.size);
    present.push([index, reference]);
  });
  if (present.length === 0) throw unwritable('it has no entries');
  if (node.entries.length > TREE_FANOUT) throw unwritable(`it has ${node.entries.length} entries`);
  if (!isLevel(node.level)) throw unwritable(`its level is ${node.level}`);

  const entriesOffset = TABLE_OFFSET + segments.size * SEGMENT_BYTES;
  const bytes = Buffer.alloc(entriesOffset + present.length * ENTRY_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt8(VERSION, 4);
  bytes.writeUInt8(node.level, 5);
  bytes.writeUInt16LE(segments.size, 6);
  bytes.writeUInt16LE(present.length, 8);
  for (const [segment, position] of segments) {
    bytes.write(segment, TABLE_OFFSET + position * SEGMENT_BYTES, SEGMENT_BYTES, 'hex');
  }
  present.forEach(([index, reference], position) => {
    bytes[BITMAP_OFFSET + (index >> 3)]! |= 1 << (index & 7);
    const at = entriesOffset + position * ENTRY_BYTES;
    bytes.write(reference.id, at, 32, 'hex');
    bytes.writeUInt32LE(reference.offsetBytes, at + 32);
    bytes.writeUInt32LE(reference.storedBytes, at + 36);
    bytes.writeUInt8(segments.get(reference.segment)!, at + 40);
    bytes.writeUInt8(CODECS.indexOf(reference.codec), at + 41);
  });
  return bytes;
}

/**
 * Decodes a node: always 256 entries. `name` says where it came from, for messages. DAMAGED, UNSUPPORTED. Whoever calls
 * has compared the bytes with the node's id, or does not care.
 */
export function decodeTreeNode(bytes: Uint8Array, name: string): TreeNode {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < MIN_NODE_BYTES || view.length > MAX_NODE_BYTES)
    throw damaged(name, `a node of ${view.length} bytes`);
  if (!view.subarray(0, 4).equals(MAGIC)) throw damaged(name, 'no tree node begins there');
  const version = view.readUInt8(4);
  if (version !== VERSION) {
    throw new LazydiskError('UNSUPPORTED', `${name} has a tree node of version ${version}. Use a newer lazydisk.`, {
      facts: { object: name, version },
    });
  }
  const level = view.readUInt8(5);
  if (!isLevel(level)) throw damaged(name, `a tree node of level ${level}`);
  const segmentCount = view.readUInt16LE(6);
  const entryCount = view.readUInt16LE(8);
  if (view.readUInt16LE(10) !== 0) throw damaged(name, 'a reserved field of a tree node is not zero');
  const present = presentEntries(view);
  if (entryCount !== present.length || entryCount === 0) {
    throw damaged(name, `a tree node says ${entryCount} entries and marks ${present.length}`);
  }
  if (segmentCount === 0 || segmentCount > entryCount) throw damaged(name, `a tree node with ${segmentCount} segments`);
  const entriesOffset = TABLE_OFFSET + segmentCount * SEGMENT_BYTES;
  if (view.length !== entriesOffset + entryCount * ENTRY_BYTES) throw damaged(name, 'a tree node has a wrong length');

  const segments = readSegments(view, segmentCount, name);
  const entries = new Array<ChunkReference | null>(TREE_FANOUT).fill(null);
  let used = 0;
  present.forEach((index, position) => {
    const at = entriesOffset + position * ENTRY_BYTES;
    const segmentIndex = view.readUInt8(at + 40);
    if (segmentIndex > used || segmentIndex >= segmentCount)
      throw damaged(name, 'the segments of a tree node are not in order');
    if (segmentIndex === used) used++;
    entries[index] = readEntry(view, at, segments[segmentIndex]!, name);
  });
  if (used !== segmentCount) throw damaged(name, 'a tree node lists a segment that it does not use');
  return { level, entries };
}

function presentEntries(view: Buffer): number[] {
  const present: number[] = [];
  for (let index = 0; index < TREE_FANOUT; index++) {
    if ((view[BITMAP_OFFSET + (index >> 3)]! & (1 << (index & 7))) !== 0) present.push(index);
  }
  return present;
}

function readSegments(view: Buffer, count: number, name: string): string[] {
  const segments: string[] = [];
  for (let position = 0; position < count; position++) {
    const at = TABLE_OFFSET + position * SEGMENT_BYTES;
    segments.push(view.toString('hex', at, at + SEGMENT_BYTES));
  }
  if (new Set(segments).size !== count) throw damaged(name, 'a tree node lists a segment twice');
  return segments;
}

function readEntry(view: Buffer, at: number, segment: string, name: string): ChunkReference {
  const codecNumber = view.readUInt8(at + 41);
  const codec = CODECS[codecNumber];
  if (codec === undefined) {
    throw new LazydiskError('UNSUPPORTED', `${name} uses codec ${codecNumber}. Use a newer lazydisk.`, {
      facts: { object: name, codec: codecNumber },
    });
  }
  const offsetBytes = view.readUInt32LE(at + 32);
  const storedBytes = view.readUInt32LE(at + 36);
  if (storedBytes === 0 || offsetBytes + storedBytes > MAX_SEGMENT_BYTES) {
    throw damaged(name, `a tree node points to ${storedBytes} bytes at ${offsetBytes} of a segment`);
  }
  return { id: view.toString('hex', at, at + 32), segment, offsetBytes, storedBytes, codec };
}

function isLevel(level: number): boolean {
  return Number.isInteger(level) && level >= 0 && level <= MAX_LEVEL;
}

function unwritable(what: string): LazydiskError {
  return new LazydiskError('USAGE', `A tree node can't be written: ${what}.`);
}
