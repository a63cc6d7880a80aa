/** The lists of condemned segments, as writers and collections read them. */
import PQueue from 'p-queue';
import { decodeCondemnedList, MIN_GRACE_MS } from '../format/condemned-list.js';
import { CONDEMNED_PREFIX, parseKey } from '../format/keys.js';
import type { SegmentId } from '../format/references.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode } from '../util/errors.js';
import { readDocument } from './read-document.js';

/** Lists that are read at once. */
const PARALLEL_READS = 8;

export interface Condemnation {
  readonly key: string;
  /** When the store got the list, by its clock. */
  readonly sinceMs: number;
  /** No segment of it is removed before the list is so old. */
  readonly graceMs: number;
  /** 'unreadable': it may name any segment. */
  readonly segments: ReadonlySet<SegmentId> | 'unreadable';
}

/** Whether the list names a segment, or may. */
export function condemns({ segments }: Condemnation, segment: SegmentId): boolean {
  return segments === 'unreadable' || segments.has(segment);
}

/**
 * All lists that are in the store. `damaged` says what becomes of one that can't be read: `unreadable` for those who only
 * have to keep away from what it may name, `refuse` for those who act on it (DAMAGED). UNSUPPORTED: a newer one.
 */
export async function readCondemnations(
  store: ObjectStore,
  damaged: 'unreadable' | 'refuse',
  signal?: AbortSignal,
): Promise<Condemnation[]> {
  const { objects } = await store.list(CONDEMNED_PREFIX, { signal });
  const lists = objects.filter(({ key }) => parseKey(key)?.kind === 'condemned');
  const queue = new PQueue({ concurrency: PARALLEL_READS });
  const found = await Promise.all(
    lists.map(({ key, modifiedMs }) => queue.add(() => readOne(store, key, modifiedMs, damaged, signal))),
  );
  return found.filter((list) => list !== undefined);
}

/** undefined: it has gone meanwhile; then all that it named has been settled. */
async function readOne(
  store: ObjectStore,
  key: string,
  sinceMs: number,
  damaged: 'unreadable' | 'refuse',
  signal: AbortSignal | undefined,
): Promise<Condemnation | undefined> {
  try {
    const { graceMs, segments } = await readDocument(
      () => store.get(key, { signal }),
      (bytes) => decodeCondemnedList(bytes, key),
    );
    return { key, sinceMs, graceMs, segments: new Set(segments) };
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND') && error.facts['bucket'] === undefined) return undefined;
    if (damaged === 'refuse' || !hasCode(error, 'DAMAGED')) throw error;
    return { key, sinceMs, graceMs: MIN_GRACE_MS, segments: 'unreadable' };
  }
}
