/**
 * The base of disks: one snapshot's tree, and which of its chunks are here.
 *
 * Disks that stand on the same tree share one base (bases.ts) and so one slot map: ten clones cost one array. A leaf of it is
 * looked up at its first touch (leaf-lookup.ts); from then on an unknown word means "not here".
 * Only the main thread calls this; workers see the words of the map.
 */
import { chunkCount, TREE_FANOUT } from '../format/geometry.js';
import type { ChunkNumber } from '../format/geometry.js';
import type { ChunkReference } from '../format/references.js';
import type {
  Lease,
  Mirror,
  PrefetchOutcome,
  PrefetchPriority,
  SlotFile,
  SlotMap,
  WantedChunk,
} from '../mirror/api.js';
import { SLOT_UNKNOWN, SLOT_ZERO } from '../mirror/api.js';
import type { WorkerFence } from '../mirror/worker-fence.js';
import type { TreeShape } from '../repository/api.js';
import type { ChunkRange } from './fill-order.js';
import { LeafLookup } from './leaf-lookup.js';
import type { LookupParts } from './leaf-lookup.js';
import { LocalChunkError } from './serve.js';
import { Touches } from './touches.js';

/** The tree of a base. A SnapshotRecord is one. */
export type BaseTree = TreeShape & { readonly allocatedBytes: number };

/** What a base is made with. */
export interface BaseParts extends LookupParts {
  readonly mirror: Mirror;
  readonly fence: WorkerFence;
}

const NOTHING_FETCHED: PrefetchOutcome = { arrivedChunks: 0, failedChunks: 0, refusedChunks: 0 };

const NOTHING_HELD: Lease = { transient: () => undefined, release: () => undefined };

export class Base {
  readonly chunks: number;
  readonly map: SlotMap | null;
  readonly slotFile: SlotFile;
  /** What readers have asked for, of all disks that stand on this base. */
  readonly touches: Touches;
  private missWatcher: ((miss: ChunkRange) => void) | undefined;
  private readonly leaves: LeafLookup | null;

  constructor(
    readonly tree: BaseTree,
    private readonly parts: BaseParts,
  ) {
    this.chunks = tree.root === null ? 0 : chunkCount(tree.sizeBytes, tree.chunkSizeBytes);
    this.map = this.chunks === 0 ? null : parts.mirror.createMap(tree.chunkSizeBytes, this.chunks);
    this.leaves = this.map === null ? null : new LeafLookup(tree, this.chunks, this.map, parts);
    this.slotFile = parts.mirror.slotFile(tree.chunkSizeBytes);
    this.touches = new Touches(this.chunks);
  }

  /** Whether the chunk is in the mirror or zero, as far as the map knows now. */
  isHere(chunk: ChunkNumber): boolean {
    return this.map === null || chunk >= this.chunks || this.map.words[chunk] !== SLOT_UNKNOWN;
  }

  /** Whether the chunk is known to be zeros without asking anything. */
  isKnownZero(chunk: ChunkNumber): boolean {
    return this.map === null || chunk >= this.chunks || this.map.words[chunk] === SLOT_ZERO;
  }

  /** The tree's entry of a chunk: null for zeros. */
  async entry(chunk: ChunkNumber, signal?: AbortSignal): Promise<ChunkReference | null> {
    if (this.isKnownZero(chunk)) return null;
    return this.parts.trees.entry(this.tree, chunk, signal);
  }

  /** The next chunk >= `first` that is not zero, or undefined. */
  async nextData(first: ChunkNumber, signal?: AbortSignal): Promise<ChunkNumber | undefined> {
    if (first >= this.chunks) return undefined;
    for await (const [chunk] of this.parts.trees.chunks(this.tree, first, signal)) return chunk;
    return undefined;
  }

  /** Non-zero chunks from `first` on. */
  async countData(first: ChunkNumber, signal?: AbortSignal): Promise<number> {
    let count = 0;
    if (first >= this.chunks) return 0;
    for await (const entry of this.parts.trees.chunks(this.tree, first, signal)) if (entry[0] >= first) count++;
    return count;
  }

  /** All chunks from `first` on that are not zero. */
  async *data(first: ChunkNumber, signal?: AbortSignal): AsyncIterable<ChunkNumber> {
    if (first >= this.chunks) return;
    for await (const [chunk] of this.parts.trees.chunks(this.tree, first, signal)) yield chunk;
  }

  /** Who is told when a guest waits for chunks; undefined: nobody any more. */
  watchMisses(watcher: ((miss: ChunkRange) => void) | undefined): void {
    this.missWatcher = watcher;
  }

  /** A guest waits for the chunks, ascending, or for some of them. */
  noteMiss(chunks: readonly ChunkNumber[]): void {
    if (this.missWatcher === undefined) return;
    const missing = chunks.filter((chunk) => !this.isHere(chunk));
    if (missing.length > 0) this.missWatcher({ first: missing[0]!, end: missing.at(-1)! + 1 });
  }

  /** Looks up the leaf that covers `chunk` in the mirror, once. */
  async loadLeaf(chunk: ChunkNumber, signal?: AbortSignal): Promise<void> {
    if (chunk < this.chunks) await this.leaves?.load(chunk, signal);
  }

  /** First chunks of the leaves that have been looked up. */
  loadedLeaves(): number[] {
    return this.leaves?.loaded() ?? [];
  }

  /** Makes the chunks local and holds them until the lease is released. */
  async ensure(chunks: readonly ChunkNumber[], signal?: AbortSignal): Promise<Lease> {
    const { map } = this;
    if (map === null) return NOTHING_HELD;
    const wanted: WantedChunk[] = [];
    for (const chunk of chunks) {
      if (chunk >= this.chunks) continue;
      await this.loadLeaf(chunk, signal);
      if (map.words[chunk] === SLOT_ZERO) continue;
      const reference = await this.parts.trees.entry(this.tree, chunk, signal);
      if (reference !== null) wanted.push({ chunk, reference });
    }
    if (wanted.length === 0) return NOTHING_HELD;
    return this.parts.mirror.ensure(map, wanted, 'demand', signal);
  }

  /**
   * Those of the chunks that are neither here nor zero, in the order given, with their places. The leaves of all of them are
   * loaded at once.
   */
  async missing(chunks: readonly ChunkNumber[], signal?: AbortSignal): Promise<WantedChunk[]> {
    const unknown = chunks.filter((chunk) => !this.isHere(chunk));
    const leaves = new Set(unknown.map((chunk) => Math.floor(chunk / TREE_FANOUT) * TREE_FANOUT));
    await Promise.all([...leaves].map((first) => this.loadLeaf(first, signal)));
    const wanted: WantedChunk[] = [];
    for (const chunk of unknown) {
      if (this.isHere(chunk)) continue;
      const reference = await this.parts.trees.entry(this.tree, chunk, signal);
      if (reference !== null) wanted.push({ chunk, reference });
    }
    return wanted;
  }

  /** Makes chunks local that nobody waits for, as Mirror.prefetch does. */
  async prefetch(
    wanted: readonly WantedChunk[],
    priority: PrefetchPriority,
    signal?: AbortSignal,
  ): Promise<PrefetchOutcome> {
    if (this.map === null || wanted.length === 0) return NOTHING_FETCHED;
    return this.parts.mirror.prefetch(this.map, wanted, priority, signal);
  }

  /**
   * When `error` says that chunks can't be read from the local disk: their slots are never used again, and who reads them next has
   * them fetched anew. Any other error is nothing to it.
   */
  disown(error: unknown): void {
    if (this.map === null || !(error instanceof LocalChunkError)) return;
    for (let chunk = error.first; chunk < error.end; chunk++) this.parts.mirror.retire(this.map, chunk);
  }

  /** Bytes of chunks that are not zero and not known to be here. A leaf that was not looked up counts as missing. */
  missingBytes(): number {
    return Math.max(0, this.tree.allocatedBytes - this.localBytes());
  }

  /** Bytes of the base that are in the mirror and looked up. */
  localBytes(): number {
    if (this.map === null) return 0;
    let count = 0;
    for (const first of this.loadedLeaves()) {
      const end = Math.min(first + TREE_FANOUT, this.chunks);
      for (let chunk = first; chunk < end; chunk++) if (this.map.words[chunk]! > SLOT_ZERO) count++;
    }
    return count * this.tree.chunkSizeBytes;
  }

  /** Gives the map up. No plane names it any more; late workers are waited for. */
  async release(): Promise<void> {
    if (this.map === null) return;
    await this.parts.fence.passed();
    this.parts.mirror.releaseMap(this.map);
  }
}
