/**
 * Where two trees differ, chunk by chunk, reading only what differs: nodes and chunks are named by their content, so whatever
 * has one id on both sides is the same, however much it covers.
 *
 * Both trees have the same chunk size. They may differ in size and so in height: the lower one stands under the first entry of
 * nodes that are not stored. What lies past the end of the smaller one counts as zeros.
 */
import { chunkCount, chunksPerEntry, rootLevel, TREE_FANOUT, type ChunkNumber } from '../format/geometry.js';
import { damaged } from '../format/json.js';
import { segmentKey } from '../format/keys.js';
import type { ChunkReference, NodeReference } from '../format/references.js';
import type { TreeReader, TreeShape } from './api.js';

/** A chunk that is not the same in both trees; null: zeros. */
export interface ChunkDifference {
  readonly chunk: ChunkNumber;
  readonly before: ChunkReference | null;
  readonly after: ChunkReference | null;
}

type Entries = readonly (ChunkReference | NodeReference | null)[];

/** One of the two trees. */
interface Side {
  readonly chunks: number;
  readonly rootLevel: number;
}

const NOTHING: Entries = new Array<null>(TREE_FANOUT).fill(null);

/** Ascending by chunk. DAMAGED, UNREACHABLE, ABORTED. */
export async function* diffTrees(
  trees: TreeReader,
  before: TreeShape,
  after: TreeShape,
  signal?: AbortSignal,
): AsyncGenerator<ChunkDifference> {
  const sides: readonly [Side, Side] = [sideOf(before), sideOf(after)];
  const top = Math.max(sides[0].rootLevel, sides[1].rootLevel);

  async function* walk(
    pair: readonly [NodeReference | null, NodeReference | null],
    level: number,
    start: ChunkNumber,
    siblings: readonly [Entries, Entries],
  ): AsyncGenerator<ChunkDifference> {
    if (pair[0]?.id === pair[1]?.id) return;
    const [old, young] = await Promise.all([
      entriesOf(trees, sides[0], pair[0], level, siblings[0], signal),
      entriesOf(trees, sides[1], pair[1], level, siblings[1], signal),
    ]);
    const span = chunksPerEntry(level);
    const differing = old.flatMap((_, index) =>
      idAt(sides[0], old, index, start, span) === idAt(sides[1], young, index, start, span) ? [] : index,
    );
    if (level === 0) {
      for (const index of differing) {
        const chunk = start + index;
        yield { chunk, before: at(sides[0], old, index, chunk), after: at(sides[1], young, index, chunk) };
      }
      return;
    }
    // Those that are not wanted don't travel along.
    const wanted = new Set(differing);
    const company = [old, young].map((entries) => entries.map((entry, index) => (wanted.has(index) ? entry : null)));
    for (const index of differing) {
      const first = start + index * span;
      const children = [at(sides[0], old, index, first), at(sides[1], young, index, first)] as const;
      yield* walk(children, level - 1, first, [company[0] ?? NOTHING, company[1] ?? NOTHING]);
    }
  }

  yield* walk([before.root, after.root], top, 0, [NOTHING, NOTHING]);
}

function sideOf({ sizeBytes, chunkSizeBytes }: TreeShape): Side {
  const chunks = chunkCount(sizeBytes, chunkSizeBytes);
  return { chunks, rootLevel: rootLevel(chunks) };
}

/** What an entry says of chunks inside the image: nothing past its end is looked at. */
function at(side: Side, entries: Entries, index: number, first: ChunkNumber): ChunkReference | NodeReference | null {
  return first < side.chunks ? (entries[index] ?? null) : null;
}

function idAt(side: Side, entries: Entries, index: number, start: ChunkNumber, span: number): string | undefined {
  return at(side, entries, index, start + index * span)?.id;
}

async function entriesOf(
  trees: TreeReader,
  side: Side,
  reference: NodeReference | null,
  level: number,
  siblings: Entries,
  signal: AbortSignal | undefined,
): Promise<Entries> {
  if (reference === null) return NOTHING;
  if (level > side.rootLevel) return [reference, ...NOTHING.slice(1)];
  const node = await trees.node(reference, signal, siblings);
  if (node.level === level) return node.entries;
  const name = `${segmentKey(reference.segment)} at ${reference.offsetBytes}`;
  throw damaged(name, `a tree node has level ${node.level} where its parent says ${level}`);
}
