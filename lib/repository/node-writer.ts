/** The tree nodes of one run, appended to its segments: a node that was appended already has the same reference. */
import { sha256 } from '../format/checksums.js';
import type { NodeId, NodeReference, TreeNode } from '../format/references.js';
import { encodeTreeNode } from '../format/tree-node.js';
import type { TreeReader } from './api.js';
import { BoundedMap } from './bounded-map.js';
import type { SegmentWriter } from './segment-writer.js';

/** Nodes that are remembered: those of 16 million chunks. */
const REMEMBERED_NODES = 65_536;

export class NodeWriter {
  readonly #appended = new BoundedMap<NodeId, NodeReference>(REMEMBERED_NODES);

  /** `trees` learns what is appended: the next reader of the tree is on this host. */
  constructor(
    private readonly segments: SegmentWriter,
    private readonly trees: TreeReader,
  ) {}

  append(node: TreeNode): NodeReference {
    const encoded = encodeTreeNode(node);
    const id = sha256(encoded);
    const known = this.#appended.get(id);
    if (known !== undefined) return known;
    const reference = { id, ...this.segments.append(id, { codec: 'none', stored: encoded }, node.level) };
    this.#appended.set(id, reference);
    this.trees.remember(id, encoded, node);
    return reference;
  }
}
