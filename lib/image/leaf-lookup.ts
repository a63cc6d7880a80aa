/**
 * Which chunks of a base are here, asked leaf by leaf: at the first touch of a leaf its 256 chunks are looked up in the mirror in
 * one go, and what is zero or local is published in the slot map. From then on the map knows more than this, and is not asked
 * again. A lookup that failed is begun anew by the next who comes.
 */
import { TREE_FANOUT } from '../format/geometry.js';
import type { ChunkNumber } from '../format/geometry.js';
import type { Mirror, SlotMap, WantedChunk } from '../mirror/api.js';
import type { KnownPlaces, TreeReader, TreeShape } from '../repository/api.js';

export interface LookupParts {
  readonly mirror: Pick<Mirror, 'markZero' | 'publishLocal'>;
  readonly trees: TreeReader;
  /** Learns the places of all chunks of every leaf that is looked up: a commit that meets one of them uploads nothing. */
  readonly known: KnownPlaces;
}

export class LeafLookup {
  private readonly leaves = new Map<number, Promise<void> | 'loaded'>();

  constructor(
    private readonly tree: TreeShape,
    private readonly chunks: number,
    private readonly map: SlotMap,
    private readonly parts: LookupParts,
  ) {}

  /** Looks up the leaf that covers `chunk`, once. */
  async load(chunk: ChunkNumber, signal?: AbortSignal): Promise<void> {
    const leaf = Math.floor(chunk / TREE_FANOUT);
    const state = this.leaves.get(leaf);
    if (state === 'loaded') return;
    if (state !== undefined) {
      try {
        await state;
        return;
      } catch {
        // The one who began may have been aborted: this caller tries for itself.
        if (this.leaves.get(leaf) === 'loaded') return;
      }
    }
    const loading = this.publish(leaf * TREE_FANOUT, signal);
    this.leaves.set(leaf, loading);
    try {
      await loading;
      this.leaves.set(leaf, 'loaded');
    } catch (error) {
      if (this.leaves.get(leaf) === loading) this.leaves.delete(leaf);
      throw error;
    }
  }

  /** First chunks of the leaves that have been looked up. */
  loaded(): number[] {
    return [...this.leaves].filter(([, state]) => state === 'loaded').map(([leaf]) => leaf * TREE_FANOUT);
  }

  private async publish(first: ChunkNumber, signal: AbortSignal | undefined): Promise<void> {
    const { mirror, trees, known } = this.parts;
    const entries = await trees.leaf(this.tree, first, signal);
    const zeros: ChunkNumber[] = [];
    const wanted: WantedChunk[] = [];
    for (let index = 0; index < TREE_FANOUT && first + index < this.chunks; index++) {
      const reference = entries[index] ?? null;
      if (reference === null) zeros.push(first + index);
      else wanted.push({ chunk: first + index, reference });
    }
    mirror.markZero(this.map, zeros);
    if (wanted.length === 0) return;
    known.record(wanted.map(({ reference }) => reference)).catch(() => undefined);
    await mirror.publishLocal(this.map, wanted);
  }
}
