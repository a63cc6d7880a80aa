/**
 * Builds a tree on top of another one: new nodes from the leaves up, only along paths that changed.
 *
 * A leaf is rebuilt when one of its chunks was set, or when the image was cut inside or before it; everything else keeps its
 * reference, so an identical tree has the identical root and costs nothing. The two trees may differ in height: above the
 * lower one's root there are nodes with one child, below the higher one's root only its first children count. Leaves whose
 * 256 chunks have all been set are built at once, so that a long import does not hold its whole tree in memory.
 *
 * allocatedBytes is the base's, minus what was cut away, plus what rebuilt leaves have gained or lost. To count a cut, the
 * shorter of the two sides is walked.
 */
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
import type { ChunkReference, NodeReference, TreeNode } from '../format/references.js';
import { LazydiskError } from '../util/errors.js';
import type { SnapshotWriterOptions, TreeReader } from './api.js';
import { ZERO_LEAF } from './trees.js';

export interface TreeBuilderOptions {
  readonly trees: TreeReader;
  readonly base: SnapshotWriterOptions['base'];
  readonly chunkSizeBytes: Bytes;
  /** Stores a node that has at least one entry. */
  readonly append: (node: TreeNode) => NodeReference;
  readonly signal: AbortSignal;
}

type Entry = ChunkReference | null;

export class TreeBuilder {
  readonly #options: TreeBuilderOptions;
  readonly #baseChunks: number;
  readonly #baseLevel: number;
  /** Leaves with changes that are not built yet. */
  readonly #open = new Map<number, Map<number, Entry>>();
  /** Leaves that are built: their new references. */
  readonly #built = new Map<number, NodeReference | null>();
  #highest = -1;
  #gainedChunks = 0;

  constructor(options: TreeBuilderOptions) {
    this.#options = options;
    const { base } = options;
    this.#baseChunks = base === null ? 0 : chunkCount(base.sizeBytes, base.chunkSizeBytes);
    this.#baseLevel = rootLevel(this.#baseChunks);
  }

  /** What the base says of a chunk. */
  async baseEntry(chunk: ChunkNumber): Promise<Entry> {
    return (await this.#baseLeaf(Math.floor(chunk / TREE_FANOUT)))[chunk % TREE_FANOUT] ?? null;
  }

  /** Whether `set` was called for the chunk. */
  isSet(chunk: ChunkNumber): boolean {
    const leaf = Math.floor(chunk / TREE_FANOUT);
    return this.#built.has(leaf) || this.#open.get(leaf)?.has(chunk % TREE_FANOUT) === true;
  }

  /** Says what the new tree has at `chunk`. At most once per chunk. */
  async set(chunk: ChunkNumber, entry: Entry): Promise<void> {
    if (this.isSet(chunk)) throw new LazydiskError('USAGE', `Chunk ${chunk} was put twice.`);
    const leaf = Math.floor(chunk / TREE_FANOUT);
    const changes = this.#open.get(leaf) ?? new Map<number, Entry>();
    this.#open.set(leaf, changes.set(chunk % TREE_FANOUT, entry));
    this.#highest = Math.max(this.#highest, chunk);
    if (changes.size === TREE_FANOUT) await this.#buildLeaf(leaf, changes, Number.MAX_SAFE_INTEGER);
  }

  /** Builds what is left, for an image of `sizeBytes`. USAGE when a chunk beyond it was set. */
  async finish(sizeBytes: Bytes): Promise<{ root: NodeReference | null; allocatedBytes: Bytes }> {
    const { base, chunkSizeBytes } = this.#options;
    const chunks = chunkCount(sizeBytes, chunkSizeBytes);
    if (this.#highest >= chunks) {
      throw new LazydiskError('USAGE', `Chunk ${this.#highest} was put, beyond an image of ${sizeBytes} bytes.`);
    }
    if (chunks === 0) return { root: null, allocatedBytes: 0 };
    const lastLeaf = Math.floor((chunks - 1) / TREE_FANOUT);
    if (chunks < this.#baseChunks && !this.#built.has(lastLeaf) && !this.#open.has(lastLeaf)) {
      this.#open.set(lastLeaf, new Map());
    }
    for (const [leaf, changes] of [...this.#open].sort(([a], [b]) => a - b)) {
      await this.#buildLeaf(leaf, changes, chunks);
    }
    let level = this.#built;
    const top = rootLevel(chunks);
    for (let number = 1; number <= top; number++) level = await this.#buildLevel(number, level, chunks);
    const root = level.has(0) ? level.get(0)! : await this.#baseReference(top, 0);
    const keptChunks = base === null ? 0 : await this.#keptChunks(chunks);
    return { root, allocatedBytes: (keptChunks + this.#gainedChunks) * chunkSizeBytes };
  }

  async #buildLeaf(leaf: number, changes: ReadonlyMap<number, Entry>, chunks: number): Promise<void> {
    const before = await this.#baseLeaf(leaf);
    const after: Entry[] = [];
    let sameAsBase = true;
    for (let index = 0; index < TREE_FANOUT; index++) {
      const inside = leaf * TREE_FANOUT + index < chunks;
      const old = before[index] ?? null;
      const changed = changes.get(index);
      const entry = !inside ? null : changed === undefined ? old : changed;
      after.push(entry);
      if (entry?.id !== old?.id) sameAsBase = false;
      this.#gainedChunks += (entry === null ? 0 : 1) - (inside && old !== null ? 1 : 0);
    }
    this.#built.set(leaf, sameAsBase ? await this.#baseReference(0, leaf) : this.#store({ level: 0, entries: after }));
    this.#open.delete(leaf);
  }

  /** The nodes of `level` above the nodes that were built below it. */
  async #buildLevel(
    level: number,
    below: ReadonlyMap<number, NodeReference | null>,
    chunks: number,
  ): Promise<Map<number, NodeReference | null>> {
    const changes = new Map<number, Map<number, NodeReference | null>>();
    const change = (child: number, reference: NodeReference | null) => {
      const parent = Math.floor(child / TREE_FANOUT);
      const children = changes.get(parent) ?? new Map<number, NodeReference | null>();
      changes.set(parent, children.set(child % TREE_FANOUT, reference));
    };
    for (const [child, reference] of below) change(child, reference);
    // Above the base's root: its tree becomes the first child.
    const base = this.#options.base?.root ?? null;
    if (level === this.#baseLevel + 1 && base !== null && !below.has(0)) change(0, base);

    const built = new Map<number, NodeReference | null>();
    for (const [index, children] of [...changes].sort(([a], [b]) => a - b)) {
      const reference = await this.#baseReference(level, index);
      const before = reference === null ? ZERO_LEAF : await this.#children(reference, level);
      const first = index * chunksPerEntry(level + 1);
      const after: (NodeReference | null)[] = [];
      for (let entry = 0; entry < TREE_FANOUT; entry++) {
        const inside = first + entry * chunksPerEntry(level) < chunks;
        const changed = children.get(entry);
        after.push(!inside ? null : changed === undefined ? (before[entry] ?? null) : changed);
      }
      const same = reference !== null && after.every((entry, position) => entry?.id === before[position]?.id);
      built.set(index, same ? reference : this.#store({ level, entries: after }));
    }
    return built;
  }

  #store(node: TreeNode): NodeReference | null {
    return node.entries.every((entry) => entry === null) ? null : this.#options.append(node);
  }

  /** The base's entries of a leaf; nulls past its end. */
  async #baseLeaf(leaf: number): Promise<readonly Entry[]> {
    const { base, trees, signal } = this.#options;
    const first = leaf * TREE_FANOUT;
    if (base === null || base.root === null || first >= this.#baseChunks) return ZERO_LEAF;
    const entries = await trees.leaf(base, first, signal);
    if (first + TREE_FANOUT <= this.#baseChunks) return entries;
    return entries.map((entry, index) => (first + index < this.#baseChunks ? entry : null));
  }

  /** The base's node number `index` of `level`, or null: zeros, past its end, or above its root. */
  async #baseReference(level: number, index: number): Promise<NodeReference | null> {
    const root = this.#options.base?.root ?? null;
    if (root === null || level > this.#baseLevel) return null;
    let reference: NodeReference | null = root;
    for (let above = this.#baseLevel; above > level; above--) {
      if (index >= TREE_FANOUT ** (this.#baseLevel - level)) return null;
      const entries: readonly (NodeReference | null)[] = await this.#children(reference, above);
      reference = entries[Math.floor(index / TREE_FANOUT ** (above - 1 - level)) % TREE_FANOUT] ?? null;
      if (reference === null) return null;
    }
    return level === this.#baseLevel && index > 0 ? null : reference;
  }

  async #children(reference: NodeReference, level: number): Promise<readonly (NodeReference | null)[]> {
    const node = await this.#options.trees.node(reference, this.#options.signal);
    if (node.level === level) return node.entries;
    throw damaged(
      `${segmentKey(reference.segment)} at ${reference.offsetBytes}`,
      `a tree node has level ${node.level} where ${level} was expected`,
    );
  }

  /** Non-zero chunks of the base before chunk number `chunks`. */
  async #keptChunks(chunks: number): Promise<number> {
    const { base, trees, signal } = this.#options;
    if (base === null) return 0;
    const total = base.allocatedBytes / base.chunkSizeBytes;
    if (chunks >= this.#baseChunks) return total;
    const countKept = chunks <= this.#baseChunks / 2;
    let counted = 0;
    for await (const [chunk] of trees.chunks(base, countKept ? 0 : chunks, signal)) {
      if (countKept && chunk >= chunks) break;
      counted++;
    }
    return countKept ? counted : total - counted;
  }
}
