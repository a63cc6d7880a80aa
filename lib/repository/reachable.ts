/**
 * Marking: which segments, and which payloads in them, trees lead to.
 *
 * Each node is read once however many trees share it; that it stands at another place as well only marks that place.
 * Whatever a tree names is marked, also beyond the end of its image: too much is kept rather than too little.
 */
import { rootLevel, chunkCount } from '../format/geometry.js';
import { damaged } from '../format/json.js';
import { segmentKey } from '../format/keys.js';
import type { NodeId, NodeReference, Place, SegmentId } from '../format/references.js';
import type { TreeReader, TreeShape } from './api.js';
import { SegmentUse } from './segment-use.js';

/** Leaves that are read at once. */
const PARALLEL_LEAVES = 16;

export class Reachable {
  readonly #uses = new Map<SegmentId, SegmentUse>();
  readonly #visited = new Set<NodeId>();

  /** `beside`: what it has marked is not marked here again. */
  constructor(
    private readonly trees: TreeReader,
    private readonly beside?: Reachable,
  ) {}

  /** undefined: nothing leads to the segment. */
  useOf(segment: SegmentId): SegmentUse | undefined {
    return this.#uses.get(segment);
  }

  /** Nodes that were read. */
  get nodes(): number {
    return this.#visited.size;
  }

  hasVisited(node: NodeId): boolean {
    return this.#visited.has(node);
  }

  /** Marks all that a tree leads to. DAMAGED, UNSUPPORTED, NOT_FOUND: it can't be known what that is. */
  async add(tree: TreeShape, signal?: AbortSignal): Promise<void> {
    if (tree.root === null) return;
    await this.#visit(tree.root, rootLevel(chunkCount(tree.sizeBytes, tree.chunkSizeBytes)), signal);
  }

  async #visit(reference: NodeReference, level: number, signal: AbortSignal | undefined): Promise<void> {
    this.#mark(reference);
    if (this.#visited.has(reference.id) || this.beside?.hasVisited(reference.id) === true) return;
    this.#visited.add(reference.id);
    const node = await this.trees.node(reference, signal);
    if (node.level !== level) {
      const name = `${segmentKey(reference.segment)} at ${reference.offsetBytes}`;
      throw damaged(name, `a tree node has level ${node.level} where ${level} was expected`);
    }
    const entries = node.entries.filter((entry) => entry !== null);
    if (level === 0) {
      for (const entry of entries) this.#mark(entry);
      return;
    }
    const parallel = level === 1 ? PARALLEL_LEAVES : 1;
    for (let at = 0; at < entries.length; at += parallel) {
      await Promise.all(entries.slice(at, at + parallel).map((entry) => this.#visit(entry, level - 1, signal)));
    }
  }

  #mark(place: Place): void {
    const use = this.#uses.get(place.segment) ?? new SegmentUse();
    this.#uses.set(place.segment, use);
    use.add(place);
  }
}
