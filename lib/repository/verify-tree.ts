/**
 * Checks trees node by node, each once however many snapshots share it, and hands on where they point.
 *
 * A node that can't be read is noted, and the others are looked at all the same.
 */
import { isStoredSize } from '../format/codec.js';
import { chunkCount, chunksPerEntry, rootLevel, type Bytes } from '../format/geometry.js';
import { segmentKey } from '../format/keys.js';
import type { NodeReference, Place, TreeNode } from '../format/references.js';
import type { SegmentKind } from '../format/segment.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { TreeReader } from './api.js';
import type { Damages } from './damages.js';

/** Leaves that are loaded at once. */
const PARALLEL_NODES = 8;

/** What holds for all nodes of one tree. */
interface Walk {
  /** Key of the record, for what is wrong with the tree itself. */
  readonly object: string;
  readonly chunkSizeBytes: Bytes;
  /** Number of chunks of the image. */
  readonly end: number;
}

export class TreeVerification {
  /** Nodes that were walked, and how many chunks they reach; NaN: not all of them could be read. */
  readonly #nodes = new Map<string, number>();

  constructor(
    private readonly trees: TreeReader,
    private readonly damages: Damages,
    /** Told of each place that a node or record names, and of what should be there. */
    private readonly note: (place: Place, id: string, kind: SegmentKind) => void,
    private readonly signal?: AbortSignal,
  ) {}

  /** Different nodes so far. */
  get nodes(): number {
    return this.#nodes.size;
  }

  /** `object`: key of the document that holds the record. */
  async check(object: string, record: SnapshotRecord): Promise<void> {
    if (record.root === null) return;
    const end = chunkCount(record.sizeBytes, record.chunkSizeBytes);
    const walk = { object, chunkSizeBytes: record.chunkSizeBytes, end };
    const chunks = await this.#node(walk, record.root, rootLevel(end), 0);
    const found = chunks * record.chunkSizeBytes;
    if (Number.isFinite(chunks) && found !== record.allocatedBytes) {
      this.damages.add(object, `it says ${record.allocatedBytes} bytes allocated, its tree has ${found}`);
    }
  }

  /** How many chunks it reaches; NaN when some part could not be read. */
  async #node(walk: Walk, reference: NodeReference, level: number, firstChunk: number): Promise<number> {
    // The place belongs to the key: the same node may be pointed to at two places, one of them wrong. A node that the end of
    // an image cuts is looked at each time: whether entries lie beyond the end depends on where it is reached.
    const isCut = firstChunk + chunksPerEntry(level + 1) > walk.end;
    const { id, segment, offsetBytes, storedBytes } = reference;
    const key = `${id} ${segment} ${offsetBytes} ${storedBytes} ${level} ${walk.chunkSizeBytes}`;
    const seen = this.#nodes.get(key);
    if (seen !== undefined && !isCut) return seen;
    if (seen === undefined) this.note(reference, id, 'nodes');
    this.#nodes.set(key, NaN);
    const node = await this.damages.noting(segmentKey(segment), () => this.trees.node(reference, this.signal));
    if (node === undefined) return NaN;
    if (node.level !== level) {
      this.damages.add(walk.object, `a tree node has level ${node.level}, not ${level}`);
      return NaN;
    }
    const chunks = await this.#entries(walk, node, firstChunk);
    this.#nodes.set(key, chunks);
    return chunks;
  }

  async #entries(walk: Walk, node: TreeNode, firstChunk: number): Promise<number> {
    const span = chunksPerEntry(node.level);
    const counts: Promise<number>[] = [];
    let total = 0;
    for (const [index, entry] of node.entries.entries()) {
      if (entry === null) continue;
      const chunk = firstChunk + index * span;
      if (chunk >= walk.end) {
        this.damages.add(walk.object, `its tree has data beyond the end of the image (chunk ${chunk} of ${walk.end})`);
        total = NaN;
      } else if (node.level > 0) {
        counts.push(this.#node(walk, entry, node.level - 1, chunk));
        // Leaves are loaded several at once; what is above them one after the other.
        if (counts.length >= (node.level === 1 ? PARALLEL_NODES : 1)) total += sum(await Promise.all(counts.splice(0)));
      } else if (!isStoredSize(entry.codec, entry.storedBytes, walk.chunkSizeBytes)) {
        this.damages.add(
          walk.object,
          `chunk ${chunk} is stored in ${entry.storedBytes} bytes (${entry.codec}), where chunks have ${walk.chunkSizeBytes}`,
        );
        total = NaN;
      } else {
        this.note(entry, entry.id, 'chunks');
        total++;
      }
    }
    return total + sum(await Promise.all(counts));
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
