/**
 * Reads trees: from memory, from the lent cache, from the store; verified by id whatever the source.
 *
 * Nodes are immutable and named by their hash, so a cached one never gets old. One fetch per node however many wait. Bytes
 * from the lent cache that do not match are a miss; the cache's own errors are too: it is a help, never a condition.
 * What a node says about levels, lengths and the end of the image is checked against the tree it was reached in.
 */
import { sha256 } from '../format/checksums.js';
import { isStoredSize } from '../format/codec.js';
import {
  chunkCount,
  chunksPerEntry,
  rootLevel,
  TREE_FANOUT,
  type Bytes,
  type ChunkNumber,
} from '../format/geometry.js';
import { damaged } from '../format/json.js';
import { segmentKey } from '../format/keys.js';
import type { ChunkReference, NodeId, NodeReference, TreeNode } from '../format/references.js';
import { decodeTreeNode, MAX_NODE_BYTES } from '../format/tree-node.js';
import type { ObjectStore } from '../store/object-store.js';
import { LazydiskError } from '../util/errors.js';
import type { NodeCache, TreeReader, TreeShape } from './api.js';
import { BoundedMap } from './bounded-map.js';
import { SingleFlight } from './single-flight.js';
import { fetchVerified } from './verified-fetch.js';

/** A decoded node takes about 50 KiB: 25 MiB. */
const MEMORY_NODES = 512;

/** How many children of a node are loaded ahead when a whole tree is walked. */
const WALK_AHEAD = 8;

/** The entries of a leaf that is all zeros. */
export const ZERO_LEAF: readonly null[] = Object.freeze(new Array<null>(TREE_FANOUT).fill(null));

export class StoredTrees implements TreeReader {
  readonly #memory = new BoundedMap<NodeId, TreeNode>(MEMORY_NODES);
  readonly #flights = new SingleFlight<TreeNode>();

  constructor(
    readonly store: ObjectStore,
    readonly cache?: NodeCache,
  ) {}

  node(reference: NodeReference, signal?: AbortSignal): Promise<TreeNode> {
    const known = this.#memory.get(reference.id);
    if (known !== undefined) return Promise.resolve(known);
    // Two references to one id may name different places: a wrong place must not fail those who have the right one.
    const key = `${reference.id} ${reference.segment} ${reference.offsetBytes}`;
    return this.#flights.run(key, (shared) => this.#load(reference, shared), signal);
  }

  async leaf(tree: TreeShape, chunk: ChunkNumber, signal?: AbortSignal): Promise<readonly (ChunkReference | null)[]> {
    const chunks = chunkCount(tree.sizeBytes, tree.chunkSizeBytes);
    let reference = tree.root;
    if (chunk >= chunks || reference === null) return ZERO_LEAF;
    for (let level = rootLevel(chunks); level > 0; level--) {
      const node = await this.inner(reference, level, signal);
      reference = node[Math.floor(chunk / chunksPerEntry(level)) % TREE_FANOUT] ?? null;
      if (reference === null) return ZERO_LEAF;
    }
    return this.chunkEntries(reference, tree.chunkSizeBytes, signal);
  }

  async entry(tree: TreeShape, chunk: ChunkNumber, signal?: AbortSignal): Promise<ChunkReference | null> {
    return (await this.leaf(tree, chunk, signal))[chunk % TREE_FANOUT] ?? null;
  }

  remember(id: NodeId, encoded: Uint8Array, node: TreeNode): void {
    this.#memory.set(id, node);
    this.cache?.put(id, encoded).catch(() => undefined);
  }

  async *chunks(tree: TreeShape, first = 0, signal?: AbortSignal): AsyncGenerator<[ChunkNumber, ChunkReference]> {
    if (tree.root === null) return;
    const chunks = chunkCount(tree.sizeBytes, tree.chunkSizeBytes);
    yield* this.#walk(tree, tree.root, rootLevel(chunks), 0, first, chunks, signal);
  }

  /** The entries of a node that is expected at `level` > 0. */
  async inner(
    reference: NodeReference,
    level: number,
    signal?: AbortSignal,
  ): Promise<readonly (NodeReference | null)[]> {
    return (await this.#expect(reference, level, signal)).entries;
  }

  /** The entries of a leaf. */
  async chunkEntries(
    reference: NodeReference,
    chunkSizeBytes: Bytes,
    signal?: AbortSignal,
  ): Promise<readonly (ChunkReference | null)[]> {
    const { entries } = await this.#expect(reference, 0, signal);
    const odd = entries.find(
      (entry) => entry !== null && !isStoredSize(entry.codec, entry.storedBytes, chunkSizeBytes),
    );
    if (odd !== undefined && odd !== null) {
      throw misplaced(reference, `it names a chunk of ${odd.storedBytes} bytes where chunks have ${chunkSizeBytes}`);
    }
    return entries;
  }

  async *#walk(
    tree: TreeShape,
    reference: NodeReference,
    level: number,
    start: ChunkNumber,
    first: ChunkNumber,
    end: ChunkNumber,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<[ChunkNumber, ChunkReference]> {
    if (level === 0) {
      const entries = await this.chunkEntries(reference, tree.chunkSizeBytes, signal);
      for (const [index, entry] of entries.entries()) {
        const chunk = start + index;
        if (entry !== null && chunk >= first && chunk < end) yield [chunk, entry];
      }
      return;
    }
    const entries = await this.inner(reference, level, signal);
    const span = chunksPerEntry(level);
    const children = entries
      .map((child, index) => ({ child, start: start + index * span }))
      .filter((entry): entry is { child: NodeReference; start: number } => entry.child !== null)
      .filter((entry) => entry.start < end && entry.start + span > first);
    for (const [position, child] of children.entries()) {
      const ahead = children[position + WALK_AHEAD];
      if (position === 0) for (const { child } of children.slice(1, WALK_AHEAD)) this.#loadAhead(child, signal);
      if (ahead !== undefined) this.#loadAhead(ahead.child, signal);
      yield* this.#walk(tree, child.child, level - 1, child.start, first, end, signal);
    }
  }

  /** Its outcome is seen by whoever walks there. */
  #loadAhead(reference: NodeReference, signal: AbortSignal | undefined): void {
    this.node(reference, signal).catch(() => undefined);
  }

  async #expect(reference: NodeReference, level: number, signal: AbortSignal | undefined): Promise<TreeNode> {
    const node = await this.node(reference, signal);
    if (node.level !== level) throw misplaced(reference, `it has level ${node.level} where ${level} was expected`);
    return node;
  }

  async #load(reference: NodeReference, signal: AbortSignal): Promise<TreeNode> {
    const name = nodeName(reference);
    const cached = await this.#fromCache(reference.id);
    if (cached === undefined && reference.storedBytes > MAX_NODE_BYTES) {
      throw misplaced(reference, `no tree node has ${reference.storedBytes} bytes`);
    }
    const size = { atMost: MAX_NODE_BYTES };
    const encoded = cached ?? (await fetchVerified(this.store, reference, size, 'the tree node', signal));
    const node = decodeTreeNode(encoded, name);
    this.#memory.set(reference.id, node);
    if (cached === undefined) await this.cache?.put(reference.id, encoded).catch(() => undefined);
    return node;
  }

  async #fromCache(id: NodeId): Promise<Buffer | undefined> {
    const encoded = await this.cache?.get(id).catch(() => undefined);
    return encoded !== undefined && sha256(encoded) === id ? encoded : undefined;
  }
}

function nodeName(reference: NodeReference): string {
  return `${segmentKey(reference.segment)} at ${reference.offsetBytes}`;
}

function misplaced(reference: NodeReference, what: string): LazydiskError {
  return damaged(nodeName(reference), `a tree node is not what its parent says: ${what}`);
}
