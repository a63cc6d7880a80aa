/**
 * Reads trees: from memory, from the lent cache, from the store; verified by id whatever the source.
 *
 * Nodes are immutable and named by their hash, so a cached one never gets old. One fetch per node however many wait; on the way
 * down a tree, a root comes with its children and a child with its siblings (node-groups.ts). Bytes
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
import { NodeGroups, type Company } from './node-groups.js';
import { SingleFlight } from './single-flight.js';
import { decodeVerified, fetchVerified } from './verified-fetch.js';

/** A decoded node takes about 50 KiB: 25 MiB. */
const MEMORY_NODES = 512;

/** How many children of a node are loaded ahead when a whole tree is walked. */
const WALK_AHEAD = 8;

/** The entries of a leaf that is all zeros. */
export const ZERO_LEAF: readonly null[] = Object.freeze(new Array<null>(TREE_FANOUT).fill(null));

const ALONE: Company = { kind: 'nobody' };
const WITH_CHILDREN: Company = { kind: 'children' };

export class StoredTrees implements TreeReader {
  readonly #memory = new BoundedMap<NodeId, TreeNode>(MEMORY_NODES);
  readonly #flights = new SingleFlight<TreeNode>();
  readonly #groups: NodeGroups;

  constructor(
    readonly store: ObjectStore,
    readonly cache?: NodeCache,
  ) {
    this.#groups = new NodeGroups(store);
  }

  node(
    reference: NodeReference,
    signal?: AbortSignal,
    siblings?: readonly (NodeReference | null)[],
  ): Promise<TreeNode> {
    return this.#node(reference, siblings === undefined ? ALONE : { kind: 'siblings', siblings }, signal);
  }

  #node(reference: NodeReference, company: Company, signal?: AbortSignal): Promise<TreeNode> {
    const known = this.#memory.get(reference.id);
    if (known !== undefined) return Promise.resolve(known);
    // Two references to one id may name different places: a wrong place must not fail those who have the right one.
    const key = `${reference.id} ${reference.segment} ${reference.offsetBytes}`;
    return this.#flights.run(key, (shared) => this.#load(reference, company, shared), signal);
  }

  async leaf(tree: TreeShape, chunk: ChunkNumber, signal?: AbortSignal): Promise<readonly (ChunkReference | null)[]> {
    const chunks = chunkCount(tree.sizeBytes, tree.chunkSizeBytes);
    let reference = tree.root;
    if (chunk >= chunks || reference === null) return ZERO_LEAF;
    let company: Company = WITH_CHILDREN;
    for (let level = rootLevel(chunks); level > 0; level--) {
      const siblings = await this.#inner(reference, level, company, signal);
      reference = siblings[Math.floor(chunk / chunksPerEntry(level)) % TREE_FANOUT] ?? null;
      if (reference === null) return ZERO_LEAF;
      company = { kind: 'siblings', siblings };
    }
    return this.#chunkEntries(reference, tree.chunkSizeBytes, company, signal);
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
    yield* this.#walk(tree, tree.root, WITH_CHILDREN, rootLevel(chunks), 0, first, chunks, signal);
  }

  /** The entries of a node that is expected at `level` > 0. */
  async #inner(
    reference: NodeReference,
    level: number,
    company: Company,
    signal: AbortSignal | undefined,
  ): Promise<readonly (NodeReference | null)[]> {
    return (await this.#expect(reference, level, company, signal)).entries;
  }

  /** The entries of a leaf. */
  async #chunkEntries(
    reference: NodeReference,
    chunkSizeBytes: Bytes,
    company: Company,
    signal: AbortSignal | undefined,
  ): Promise<readonly (ChunkReference | null)[]> {
    // A leaf has no children.
    const { entries } = await this.#expect(reference, 0, company.kind === 'children' ? ALONE : company, signal);
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
    company: Company,
    level: number,
    start: ChunkNumber,
    first: ChunkNumber,
    end: ChunkNumber,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<[ChunkNumber, ChunkReference]> {
    if (level === 0) {
      const entries = await this.#chunkEntries(reference, tree.chunkSizeBytes, company, signal);
      for (const [index, entry] of entries.entries()) {
        const chunk = start + index;
        if (entry !== null && chunk >= first && chunk < end) yield [chunk, entry];
      }
      return;
    }
    const entries = await this.#inner(reference, level, company, signal);
    const below: Company = { kind: 'siblings', siblings: entries };
    const span = chunksPerEntry(level);
    const children = entries
      .map((child, index) => ({ child, start: start + index * span }))
      .filter((entry): entry is { child: NodeReference; start: number } => entry.child !== null)
      .filter((entry) => entry.start < end && entry.start + span > first);
    for (const [position, child] of children.entries()) {
      const ahead = children[position + WALK_AHEAD];
      if (position === 0) for (const { child } of children.slice(1, WALK_AHEAD)) this.#loadAhead(child, below, signal);
      if (ahead !== undefined) this.#loadAhead(ahead.child, below, signal);
      yield* this.#walk(tree, child.child, below, level - 1, child.start, first, end, signal);
    }
  }

  /** Its outcome is seen by whoever walks there. */
  #loadAhead(reference: NodeReference, company: Company, signal: AbortSignal | undefined): void {
    this.#node(reference, company, signal).catch(() => undefined);
  }

  async #expect(
    reference: NodeReference,
    level: number,
    company: Company,
    signal: AbortSignal | undefined,
  ): Promise<TreeNode> {
    const node = await this.#node(reference, company, signal);
    if (node.level !== level) throw misplaced(reference, `it has level ${node.level} where ${level} was expected`);
    return node;
  }

  async #load(reference: NodeReference, company: Company, signal: AbortSignal): Promise<TreeNode> {
    const cached = await this.#fromCache(reference.id);
    if (cached === undefined && reference.storedBytes > MAX_NODE_BYTES) {
      throw misplaced(reference, `no tree node has ${reference.storedBytes} bytes`);
    }
    const { encoded, keepChildren } =
      cached === undefined ? await this.#fetch(reference, company, signal) : { encoded: cached };
    const node = decodeTreeNode(encoded, nodeName(reference));
    if (node.level > 0) keepChildren?.(node.entries as readonly (NodeReference | null)[]);
    this.#memory.set(reference.id, node);
    if (cached === undefined) await this.cache?.put(reference.id, encoded).catch(() => undefined);
    return node;
  }

  /** With its company first; what comes wrong so is fetched again, alone. */
  async #fetch(
    reference: NodeReference,
    company: Company,
    signal: AbortSignal,
  ): Promise<{ encoded: Buffer; keepChildren?: (children: readonly (NodeReference | null)[]) => void }> {
    const size = { atMost: MAX_NODE_BYTES };
    if (company.kind === 'nobody') {
      return { encoded: await fetchVerified(this.store, reference, size, 'the tree node', signal) };
    }
    const came = await this.#groups.fetch(reference, company, signal);
    const encoded = came === undefined ? undefined : await decodeVerified(reference, came.stored, size);
    if (came !== undefined && Buffer.isBuffer(encoded)) return { encoded, keepChildren: came.keepChildren };
    const attempts = came === undefined ? 2 : 1;
    return { encoded: await fetchVerified(this.store, reference, size, 'the tree node', signal, attempts) };
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
