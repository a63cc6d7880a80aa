/**
 * Tree nodes that travel together: one ranged GET brings a node with those that are likely wanted next.
 *
 * A writer appends a tree's nodes to a segment in order, leaves first and the root last. So the bytes before a root hold its
 * children, and the children of one node that are in one segment stand close together. A node is at most 15 KB and a request
 * costs a round trip, so it pays to fetch half a megabyte: the whole tree of an image of some gigabytes comes with its root.
 *
 * What came along is kept as it was stored until somebody asks for it; it is decoded and verified then, not here. What is
 * wrong in a group (a sibling whose place is none, bytes that do not match) never fails the node that was wanted: it is then
 * fetched alone.
 */
import type { Bytes } from '../format/geometry.js';
import type { NodeReference, Place, SegmentId } from '../format/references.js';
import { MAX_NODE_BYTES } from '../format/tree-node.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode } from '../util/errors.js';
import { BoundedMap } from './bounded-map.js';
import { SingleFlight } from './single-flight.js';
import { readSegmentRange } from './verified-fetch.js';

/** Most bytes of a group: 5 ms at 100 MB/s, a quarter of the round trip that it may save. */
export const MAX_GROUP_BYTES = 512 * 1024;

/** Bytes between two nodes that are read over rather than asked around. */
const MAX_GAP_BYTES = 32 * 1024;

/** Stored nodes that are kept for those who will ask: at most 8 MiB. */
const KEPT_NODES = 512;

/** Who travels with a node. */
export type Company =
  | { readonly kind: 'nobody' }
  /** Other entries of its parent. */
  | { readonly kind: 'siblings'; readonly siblings: readonly (NodeReference | null)[] }
  /** What it points to, which is not known yet: the bytes before it. */
  | { readonly kind: 'children' };

/** A part of a segment, bytes. */
export interface GroupRange {
  readonly segment: SegmentId;
  readonly offsetBytes: Bytes;
  readonly lengthBytes: Bytes;
}

/** What to read for a node. The same for all siblings that stand in the same group, so that they can share it. */
export function planGroup(wanted: NodeReference, company: Company): GroupRange {
  switch (company.kind) {
    case 'nobody':
      return rangeOf(wanted);
    case 'children': {
      const end = endOf(wanted);
      const offsetBytes = Math.min(wanted.offsetBytes, Math.max(0, end - MAX_GROUP_BYTES));
      return { segment: wanted.segment, offsetBytes, lengthBytes: end - offsetBytes };
    }
    case 'siblings':
      return planSiblings(wanted, company.siblings);
  }
}

/** Cuts the siblings in the wanted one's segment, in order, wherever the group would be too long or the gap too wide. */
function planSiblings(wanted: NodeReference, siblings: readonly (NodeReference | null)[]): GroupRange {
  const near = siblings
    .filter((sibling): sibling is NodeReference => sibling !== null && sibling.segment === wanted.segment)
    .sort((a, b) => a.offsetBytes - b.offsetBytes);
  let start = 0;
  let end = -1;
  for (const sibling of near) {
    const fits = endOf(sibling) - start <= MAX_GROUP_BYTES && sibling.offsetBytes - end <= MAX_GAP_BYTES;
    if (end < 0 || !fits) {
      if (covers(start, end, wanted)) break;
      start = sibling.offsetBytes;
      end = -1;
    }
    end = Math.max(end, endOf(sibling));
  }
  if (!covers(start, end, wanted) || end - start > MAX_GROUP_BYTES) return rangeOf(wanted);
  return { segment: wanted.segment, offsetBytes: start, lengthBytes: end - start };
}

export class NodeGroups {
  readonly #kept = new BoundedMap<string, Uint8Array>(KEPT_NODES);
  readonly #flights = new SingleFlight<Buffer>();

  constructor(readonly store: ObjectStore) {}

  /**
   * The stored bytes of a node; undefined when its group can't be read because something in it is damaged. UNREACHABLE,
   * REFUSED, ABORTED. `keepChildren` says which children came along, once they are known.
   */
  async fetch(
    wanted: NodeReference,
    company: Company,
    signal: AbortSignal,
  ): Promise<{ stored: Uint8Array; keepChildren(children: readonly (NodeReference | null)[]): void } | undefined> {
    const kept = this.#kept.get(placeKey(wanted));
    if (kept !== undefined) {
      this.#kept.delete(placeKey(wanted));
      return { stored: kept, keepChildren: () => undefined };
    }
    const range = planGroup(wanted, company);
    const siblings = company.kind === 'siblings' ? company.siblings : [];
    try {
      const key = `${range.segment} ${range.offsetBytes} ${range.lengthBytes}`;
      const whole = await this.#flights.run(key, (shared) => this.#read(range, siblings, shared), signal);
      return {
        stored: partOf(whole, range, wanted),
        keepChildren: (children) => this.#keep(whole, range, children),
      };
    } catch (error) {
      if (hasCode(error, 'DAMAGED')) return undefined;
      throw error;
    }
  }

  async #read(range: GroupRange, siblings: readonly (NodeReference | null)[], signal: AbortSignal): Promise<Buffer> {
    const whole = await readSegmentRange(this.store, range, signal);
    this.#keep(whole, range, siblings);
    return whole;
  }

  /** Copies: a small part would keep the whole alive. */
  #keep(whole: Buffer, range: GroupRange, references: readonly (NodeReference | null)[]): void {
    for (const reference of references) {
      if (reference === null || reference.segment !== range.segment || reference.storedBytes > MAX_NODE_BYTES) continue;
      if (reference.offsetBytes < range.offsetBytes || endOf(reference) > range.offsetBytes + range.lengthBytes)
        continue;
      this.#kept.set(placeKey(reference), Uint8Array.from(partOf(whole, range, reference)));
    }
  }
}

function partOf(whole: Buffer, range: GroupRange, { offsetBytes, storedBytes }: Place): Buffer {
  const start = offsetBytes - range.offsetBytes;
  return whole.subarray(start, start + storedBytes);
}

function covers(start: Bytes, end: Bytes, reference: Place): boolean {
  return reference.offsetBytes >= start && endOf(reference) <= end;
}

function endOf({ offsetBytes, storedBytes }: Place): Bytes {
  return offsetBytes + storedBytes;
}

function rangeOf({ segment, offsetBytes, storedBytes }: Place): GroupRange {
  return { segment, offsetBytes, lengthBytes: storedBytes };
}

/** The same node may stand at several places, and a wrong place must not stand for a right one. */
function placeKey({ id, segment, offsetBytes, storedBytes, codec }: NodeReference): string {
  return `${id} ${segment} ${offsetBytes} ${storedBytes} ${codec}`;
}
