/**
 * One page of a directory listing: which entries fit, and their bytes.
 *
 * An entry is a fixed part, the name, and padding to eight bytes; READDIRPLUS puts what a lookup would answer before it. The
 * position of an entry is the index of the one after it, so the kernel asks for the next page by the position that it saw
 * last. An entry whose attributes could not be had says so by node 0: the kernel then looks it up when somebody wants it.
 */
import type { Attributes, DirectoryEntry } from '../file-system.js';
import { directoryType, ENTRY_BYTES, putEntry } from './encode.js';

const DIRENT_BYTES = 24;

/** A listed entry with its name as it travels. */
export interface NamedEntry extends DirectoryEntry {
  readonly nameBytes: Uint8Array;
}

/** Entries from `position` on that fit into `lengthBytes`. Empty at the end, undefined when not even one fits. */
export function pageOf(
  entries: readonly NamedEntry[],
  position: number,
  lengthBytes: number,
  withAttributes: boolean,
): readonly NamedEntry[] | undefined {
  let used = 0;
  let end = position;
  for (; end < entries.length; end++) {
    used += entryBytes(entries[end]!, withAttributes);
    if (used > lengthBytes) break;
  }
  if (end === position && position < entries.length) return undefined;
  return entries.slice(position, end);
}

/** READDIR. `position` is that of the first entry of the page. */
export function encodeDirectoryPage(page: readonly NamedEntry[], position: number): Uint8Array {
  return encodePage(page, position, undefined);
}

/** READDIRPLUS. `attributes` go with the entries; undefined where there are none to give (`.`, `..`, failures). */
export function encodeDirectoryPagePlus(
  page: readonly NamedEntry[],
  position: number,
  attributes: readonly (Attributes | undefined)[],
): Uint8Array {
  return encodePage(page, position, attributes);
}

function encodePage(
  page: readonly NamedEntry[],
  position: number,
  attributes: readonly (Attributes | undefined)[] | undefined,
): Uint8Array {
  const withAttributes = attributes !== undefined;
  const body = new Uint8Array(page.reduce((sum, entry) => sum + entryBytes(entry, withAttributes), 0));
  const view = new DataView(body.buffer);
  let at = 0;
  page.forEach((entry, index) => {
    const start = at;
    if (withAttributes) {
      const known = attributes[index];
      if (known !== undefined) putEntry(view, at, known);
      at += ENTRY_BYTES;
    }
    view.setBigUint64(at, BigInt(entry.node), true);
    view.setBigUint64(at + 8, BigInt(position + index + 1), true);
    view.setUint32(at + 16, entry.nameBytes.byteLength, true);
    view.setUint32(at + 20, directoryType(entry.kind), true);
    body.set(entry.nameBytes, at + DIRENT_BYTES);
    at = start + entryBytes(entry, withAttributes);
  });
  return body;
}

function entryBytes(entry: NamedEntry, withAttributes: boolean): number {
  const bare = (withAttributes ? ENTRY_BYTES : 0) + DIRENT_BYTES + entry.nameBytes.byteLength;
  return Math.ceil(bare / 8) * 8;
}
