/** What a collection does with each segment: decided from facts, without a store. */
import type { SegmentId } from '../format/references.js';
import { condemns, type Condemnation } from './condemned.js';

export interface CollectionFacts {
  /** The store's time before the marking began. */
  readonly nowMs: number;
  /** Of this run. A list keeps the grace that it promises, if that is longer. */
  readonly graceMs: number;
  readonly lists: readonly Condemnation[];
  /** What was in the store before the marking began. */
  readonly segments: readonly SegmentId[];
  readonly isReached: (segment: SegmentId) => boolean;
  /** Reached until now, by a deleted snapshot that this run gives up: somebody may be bringing it back in this moment. */
  readonly isParting: (segment: SegmentId) => boolean;
}

/** Every segment is in exactly one of the four. */
export interface CollectionPlan {
  readonly keep: readonly SegmentId[];
  /** Dead and in no list, or only parting, whatever lists name it since before it was in use: goes into a new one. */
  readonly condemn: readonly SegmentId[];
  /** Dead and in a list whose grace runs. */
  readonly wait: readonly SegmentId[];
  /** Dead, and found dead before the grace of every list that names it began. */
  readonly remove: readonly SegmentId[];
  /** Lists whose grace is over, by key: settled when what is to be removed has gone. */
  readonly settled: readonly string[];
}

export function planCollection({
  nowMs,
  graceMs,
  lists,
  segments,
  isReached,
  isParting,
}: CollectionFacts): CollectionPlan {
  const isRipe = (list: Condemnation): boolean => list.sinceMs + Math.max(list.graceMs, graceMs) <= nowMs;
  const plan = { keep: [], condemn: [], wait: [], remove: [] } satisfies Record<string, SegmentId[]>;
  const fateOf = (segment: SegmentId): keyof typeof plan => {
    if (isReached(segment)) return 'keep';
    if (isParting(segment)) return 'condemn';
    const naming = lists.filter((list) => condemns(list, segment));
    if (naming.length === 0) return 'condemn';
    return naming.every(isRipe) ? 'remove' : 'wait';
  };
  for (const segment of segments) (plan[fateOf(segment)] as SegmentId[]).push(segment);
  return { ...plan, settled: lists.filter(isRipe).map(({ key }) => key) };
}
