/**
 * Values to the bytes of a reply. A reply is the header that `replyHeader` makes, followed by one of the bodies here; the
 * length in the header is that of the bytes that follow, so a reply has the right length or is an error.
 *
 * Entries and attributes live a second in the kernel (there are no notifications that would end them earlier). There is no
 * negative caching: an entry that is not there is ENOENT, never an entry without a node.
 */
import type { Attributes, FileKind, FileSystemStatistics, Opened } from '../file-system.js';
import { REPLY_HEADER_BYTES } from './limits.js';

const VALID_SECONDS = 1n;

export const ATTRIBUTES_BYTES = 88;
export const ENTRY_BYTES = 40 + ATTRIBUTES_BYTES;
const OPENED_BYTES = 16;

const TYPE_BITS: Readonly<Record<FileKind, number>> = { file: 0o100000, directory: 0o040000, symlink: 0o120000 };

/** The type of a directory entry: the type bits of a mode, shifted down. */
export function directoryType(kind: FileKind): number {
  return TYPE_BITS[kind] / 0o10000;
}

/** The header of a reply with `bodyBytes` after it. `errno` is 0, or positive: then there must be no body. */
export function replyHeader(unique: bigint, errno: number, bodyBytes: number): Uint8Array {
  if (errno < 0 || (errno !== 0 && bodyBytes !== 0)) throw new RangeError('an error has no body');
  const header = new Uint8Array(REPLY_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, REPLY_HEADER_BYTES + bodyBytes, true);
  view.setInt32(4, -errno, true);
  view.setBigUint64(8, unique, true);
  return header;
}

/** Send requests that were taken and not answered again. */
export const NOTIFY_RESEND = 7;

/** A message of our own to the kernel, without a body: in the place of a reply, to no request. */
export function notification(code: number): Uint8Array {
  const header = new Uint8Array(REPLY_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, REPLY_HEADER_BYTES, true);
  view.setInt32(4, code, true);
  return header;
}

/** LOOKUP, MKDIR. */
export function encodeEntry(attributes: Attributes): Uint8Array {
  const body = new Uint8Array(ENTRY_BYTES);
  putEntry(new DataView(body.buffer), 0, attributes);
  return body;
}

/** GETATTR, SETATTR. */
export function encodeAttributes(attributes: Attributes): Uint8Array {
  const body = new Uint8Array(16 + ATTRIBUTES_BYTES);
  const view = new DataView(body.buffer);
  view.setBigUint64(0, VALID_SECONDS, true);
  putAttributes(view, 16, attributes);
  return body;
}

/** OPEN. */
export function encodeOpened(opened: Opened): Uint8Array {
  const body = new Uint8Array(OPENED_BYTES);
  putOpened(new DataView(body.buffer), 0, opened);
  return body;
}

/** OPEN of a file that the kernel reads by itself, under the id that it gave to the backing file. */
export function encodeOpenedPassthrough(opened: Opened, backingId: number): Uint8Array {
  const body = new Uint8Array(OPENED_BYTES);
  const view = new DataView(body.buffer);
  // With passthrough the page cache is not ours: the kernel refuses flags about it.
  putOpened(view, 0, { ...opened, keepCache: false });
  view.setUint32(8, view.getUint32(8, true) | FOPEN_PASSTHROUGH, true);
  view.setInt32(12, backingId, true);
  return body;
}

/** OPENDIR. Listings are not cached: they change when other hosts publish. */
export function encodeOpenedDirectory(handle: number): Uint8Array {
  return encodeOpened({ handle, directIo: false, keepCache: false, noFlush: false });
}

/** CREATE. */
export function encodeCreated(attributes: Attributes, opened: Opened): Uint8Array {
  const body = new Uint8Array(ENTRY_BYTES + OPENED_BYTES);
  const view = new DataView(body.buffer);
  putEntry(view, 0, attributes);
  putOpened(view, ENTRY_BYTES, opened);
  return body;
}

/** WRITE. */
export function encodeWritten(lengthBytes: number): Uint8Array {
  const body = new Uint8Array(8);
  new DataView(body.buffer).setUint32(0, lengthBytes, true);
  return body;
}

/** LSEEK. */
export function encodeOffset(offset: number): Uint8Array {
  const body = new Uint8Array(8);
  new DataView(body.buffer).setBigUint64(0, BigInt(offset), true);
  return body;
}

/** STATFS. */
export function encodeStatistics(statistics: FileSystemStatistics): Uint8Array {
  const body = new Uint8Array(80);
  const view = new DataView(body.buffer);
  const blocks = (bytes: number) => BigInt(Math.floor(bytes / statistics.blockSizeBytes));
  view.setBigUint64(0, blocks(statistics.totalBytes), true);
  view.setBigUint64(8, blocks(statistics.freeBytes), true);
  view.setBigUint64(16, blocks(statistics.freeBytes), true);
  view.setBigUint64(24, BigInt(statistics.files), true);
  view.setBigUint64(32, BigInt(statistics.freeFiles), true);
  view.setUint32(40, statistics.blockSizeBytes, true);
  view.setUint32(44, statistics.nameMax, true);
  view.setUint32(48, statistics.blockSizeBytes, true);
  return body;
}

export function putEntry(view: DataView, position: number, attributes: Attributes): void {
  view.setBigUint64(position, BigInt(attributes.node), true);
  // Node ids are never used again, so one generation is enough.
  view.setBigUint64(position + 8, 0n, true);
  view.setBigUint64(position + 16, VALID_SECONDS, true);
  view.setBigUint64(position + 24, VALID_SECONDS, true);
  putAttributes(view, position + 40, attributes);
}

function putAttributes(view: DataView, position: number, attributes: Attributes): void {
  view.setBigUint64(position, BigInt(attributes.node), true);
  view.setBigUint64(position + 8, BigInt(attributes.sizeBytes), true);
  view.setBigUint64(position + 16, BigInt(Math.ceil(attributes.allocatedBytes / 512)), true);
  putTime(view, position + 24, position + 48, attributes.atimeMs);
  putTime(view, position + 32, position + 52, attributes.mtimeMs);
  putTime(view, position + 40, position + 56, attributes.ctimeMs);
  view.setUint32(position + 60, TYPE_BITS[attributes.kind] | (attributes.mode & 0o7777), true);
  view.setUint32(position + 64, attributes.links, true);
  view.setUint32(position + 68, attributes.uid, true);
  view.setUint32(position + 72, attributes.gid, true);
  view.setUint32(position + 80, attributes.blockSizeBytes, true);
}

function putTime(view: DataView, secondsPosition: number, nanosecondsPosition: number, timeMs: number): void {
  const wholeMs = Math.floor(timeMs);
  const seconds = Math.floor(wholeMs / 1000);
  view.setBigInt64(secondsPosition, BigInt(seconds), true);
  view.setUint32(nanosecondsPosition, (wholeMs - seconds * 1000) * 1e6, true);
}

const FOPEN_DIRECT_IO = 1 << 0;
const FOPEN_KEEP_CACHE = 1 << 1;
const FOPEN_NOFLUSH = 1 << 5;
const FOPEN_PASSTHROUGH = 1 << 7;

function putOpened(view: DataView, position: number, opened: Opened): void {
  const flags =
    (opened.directIo ? FOPEN_DIRECT_IO : 0) |
    (opened.keepCache ? FOPEN_KEEP_CACHE : 0) |
    (opened.noFlush ? FOPEN_NOFLUSH : 0);
  view.setBigUint64(position, BigInt(opened.handle), true);
  view.setUint32(position + 8, flags, true);
}
