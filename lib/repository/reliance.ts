/**
 * What a tree that is being written relies on, and whether it will be there when the tree's record is published.
 *
 * Segments that nothing refers to are condemned by collections (in lists in the store) and removed when the list is older
 * than its grace and they are still referred to by nothing. A writer's segments are of that kind until its record is
 * there, and those of chunks that this host remembers may be. So:
 *
 * - A remembered place is used only when no list names its segment and, looked at after the lists, the segment is there.
 * - Before publishing, the lists are read again. What this writer uploaded or shared was there, and in no list, after it
 *   began. So a list that names it now is younger than this writer, and harmless as long as the record comes well within
 *   that list's grace: the marking before the removal will see it. Else the upload has to be made again.
 * - A writer that has taken nearly as long as the shortest grace may have missed a list that came and went: then the
 *   segments themselves are looked for.
 *
 * Durations are this host's, and are compared with graces of an hour at least; times of the store are not needed.
 * The base's segments are not of its concern: the base lives, which who publishes has to see.
 */
import { MIN_GRACE_MS } from '../format/condemned-list.js';
import { parseKey, segmentKey, SEGMENTS_PREFIX } from '../format/keys.js';
import type { SegmentId } from '../format/references.js';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from '../format/segment.js';
import type { ObjectStore, Pace } from '../store/object-store.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { startStopwatch, type Stopwatch } from '../util/stopwatch.js';
import type { KnownPlaces } from './api.js';
import { condemns, readCondemnations, type Condemnation } from './condemned.js';

/** From what was seen in the store, right before publishing, to the last try of the put. */
export const PUBLISH_WINDOW_MS = 15 * 60 * 1000;
/** The same, and as much again for a put that was given up and takes effect late. */
export const PUBLISHED_BY_MS = 2 * PUBLISH_WINDOW_MS;

/**
 * Lets a put be tried as long as what was seen in the store is young enough to act upon, then CONFLICT. Asked before each try,
 * however long tries go on.
 */
export function within(ageMs: Stopwatch): Pace {
  const minutes = PUBLISH_WINDOW_MS / 60_000;
  return async () => {
    if (ageMs() <= PUBLISH_WINDOW_MS) return;
    throw new LazydiskError('CONFLICT', `The store did not take it within ${minutes} minutes; try again.`);
  };
}

export class Reliance {
  readonly #store: ObjectStore;
  readonly #elapsedMs: Stopwatch;
  readonly #segments = new Set<SegmentId>();
  readonly #usable = new Map<SegmentId, Promise<boolean>>();
  #lists: Promise<readonly Condemnation[]> | undefined;

  /** `start` begins to count the writer's time. */
  constructor(store: ObjectStore, start: () => Stopwatch = startStopwatch) {
    this.#store = store;
    this.#elapsedMs = start();
  }

  /** The tree may refer to this segment, which has just been uploaded. */
  add(segment: SegmentId): void {
    this.#segments.add(segment);
  }

  /** `known` without the places that can't be relied on. */
  places(known: KnownPlaces, signal?: AbortSignal): KnownPlaces {
    return {
      record: (references) => known.record(references),
      lookup: async (ids) => {
        const found = await known.lookup(ids);
        return Promise.all(
          found.map(async (place) =>
            place !== undefined && (await this.#isUsable(place.segment, signal)) ? place : undefined,
          ),
        );
      },
    };
  }

  /** Right before publishing. CONFLICT, with `condemned` in its facts: what was uploaded must be uploaded again. */
  async confirm(signal?: AbortSignal): Promise<void> {
    const lists = await readCondemnations(this.#store, 'unreadable', signal);
    const lateMs = this.#elapsedMs() + PUBLISHED_BY_MS;
    const late = lists.filter(({ graceMs }) => lateMs > graceMs);
    const lost = [...this.#segments].filter((segment) => late.some((list) => condemns(list, segment)));
    if (lateMs > MIN_GRACE_MS) lost.push(...(await this.#missing(signal)));
    if (lost.length === 0) return;
    throw new LazydiskError(
      'CONFLICT',
      `The upload took longer than a collection waits, which has condemned ${lost.length} of its segments; try again.`,
      { facts: { condemned: lost } },
    );
  }

  #isUsable(segment: SegmentId, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#segments.has(segment)) return Promise.resolve(true);
    let usable = this.#usable.get(segment);
    if (usable === undefined) {
      usable = this.#look(segment, signal);
      this.#usable.set(segment, usable);
    }
    return usable;
  }

  /** A store that does not answer makes nothing usable: then the chunk is uploaded. */
  async #look(segment: SegmentId, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      this.#lists ??= readCondemnations(this.#store, 'unreadable', signal);
      if ((await this.#lists).some((list) => condemns(list, segment))) return false;
      const range = { offsetBytes: 0, lengthBytes: SEGMENT_HEADER_BYTES };
      const key = segmentKey(segment);
      const header = decodeSegmentHeader(await this.#store.get(key, { range, signal }), key);
      if (header.segment !== segment || header.kind !== 'chunks') return false;
      this.#segments.add(segment);
      return true;
    } catch (error) {
      if (hasCode(error, 'ABORTED')) throw error;
      return false;
    }
  }

  async #missing(signal: AbortSignal | undefined): Promise<SegmentId[]> {
    const { objects } = await this.#store.list(SEGMENTS_PREFIX, { signal });
    const there = new Set<SegmentId>();
    for (const { key } of objects) {
      const parsed = parseKey(key);
      if (parsed?.kind === 'segment') there.add(parsed.segment);
    }
    return [...this.#segments].filter((segment) => !there.has(segment));
  }
}
