/**
 * Collection: gives back the segments that nothing refers to. Any number of hosts may commit, import, clone, delete and
 * collect meanwhile; killed at any step, it leaves nothing that has to be cleaned up.
 *
 * A segment goes in two runs that lie a grace apart: the first that finds it dead condemns it (condemned-list.ts), and a
 * later one that finds it dead still, and the list older than its grace, removes it. Why nothing that lives is removed: who
 * shares a segment has seen it in no list, and publishes its record within the grace of any list that comes after that
 * (reliance.ts), so the marking of the second run sees the record.
 *
 * Steps, in this order:
 *   look      the store's time, then the lists, the segments, and the roots
 *   mark      what the roots lead to; then the roots are read once more, and what is new is marked: of a snapshot that was
 *             deleted and cloned while the first listing went by, the second one sees the tombstone or the clone
 *   part      what only tombstones lead to whose grace was over in both readings is marked apart: it goes into a new list
 *             whatever older ones say, since one may have named it before it was in use, and an undelete may be under way
 *   condemn   new lists
 *   finalise  those tombstones lose their records: they can't be undone any more
 *   remove    segments that are ripe; then the lists that named them, so that no list goes before its dead
 */
import PQueue from 'p-queue';
import { encodeCondemnedList, MAX_CONDEMNED_SEGMENTS, MIN_GRACE_MS } from '../format/condemned-list.js';
import { randomId } from '../format/checksums.js';
import type { Bytes } from '../format/geometry.js';
import { CLOCK_PREFIX, condemnedKey, parseKey, segmentKey, SEGMENTS_PREFIX } from '../format/keys.js';
import type { SegmentId } from '../format/references.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { Repository } from './api.js';
import { planCollection, type CollectionPlan } from './collection-plan.js';
import { readRoots, type ExpiredTombstone } from './collection-roots.js';
import { readCondemnations } from './condemned.js';
import { finaliseTombstone, lookInto, type HoldingTombstone } from './deletion.js';
import { Reachable } from './reachable.js';
import { serverTimeMs } from './server-time.js';
import { StoredTrees } from './trees.js';

/** Objects that are deleted or finalised at once. */
const PARALLEL_CHANGES = 8;

export const DEFAULT_GRACE_MS = 7 * 24 * 60 * 60 * 1000;

export interface CollectionOptions {
  /** How long deleted snapshots can be undone, and condemned segments stay; at least MIN_GRACE_MS, 7 days by default. */
  readonly graceMs?: number | undefined;
  /** Changes nothing in the store. Ages are then told by this host's clock. */
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: CollectionProgress) => void) | undefined;
}

export interface CollectionProgress {
  /** Tree nodes that were read. */
  readonly nodes: number;
  readonly removedSegments: number;
}

/** Objects in the store, and their bytes there. */
export interface SegmentTotal {
  readonly segments: number;
  readonly bytes: Bytes;
}

export interface CollectionReport {
  readonly dryRun: boolean;
  readonly graceMs: number;
  /** Newly found dead: may be removed when the grace is over. */
  readonly condemned: SegmentTotal;
  /** Found dead before; their grace still runs. */
  readonly waiting: SegmentTotal;
  /** Given back by this run. */
  readonly removed: SegmentTotal;
  /** `deadBytes`: what no tree leads to in segments that stay because of the rest. */
  readonly living: SegmentTotal & { readonly deadBytes: Bytes };
  /** Deleted snapshots that can't be undone any more since this run. */
  readonly finalisedTombstones: number;
}

/** USAGE (a grace that is too short), DAMAGED and UNSUPPORTED (nothing was changed), ABORTED, and the errors of the store. */
export async function collectRepository(
  repository: Repository,
  options: CollectionOptions = {},
): Promise<CollectionReport> {
  const { graceMs = DEFAULT_GRACE_MS } = options;
  if (!Number.isInteger(graceMs) || graceMs < MIN_GRACE_MS) {
    throw new LazydiskError('USAGE', `A grace is at least ${MIN_GRACE_MS / 60_000} minutes.`);
  }
  return new Collection(repository, { ...options, graceMs }).run();
}

class Collection {
  readonly #repository: Repository;
  readonly #options: CollectionOptions & { readonly graceMs: number };
  readonly #reachable: Reachable;
  readonly #parting: Reachable;
  #removedSegments = 0;

  constructor(repository: Repository, options: CollectionOptions & { readonly graceMs: number }) {
    this.#repository = repository;
    this.#options = options;
    const trees = new StoredTrees(repository.store);
    this.#reachable = new Reachable(trees);
    this.#parting = new Reachable(trees, this.#reachable);
  }

  async run(): Promise<CollectionReport> {
    const { graceMs, dryRun = false, signal } = this.#options;
    const { store } = this.#repository;
    const nowMs = dryRun ? Date.now() : await serverTimeMs(store, signal);
    const lists = await refusingDamage(() => readCondemnations(store, 'refuse', signal));
    const sizes = await this.#segmentSizes();
    const expired = await this.#part(await refusingDamage(() => this.#mark(nowMs)));
    const plan = planCollection({
      nowMs,
      graceMs,
      lists,
      segments: [...sizes.keys()],
      isReached: (segment) => this.#reachable.useOf(segment) !== undefined,
      isParting: (segment) => this.#parting.useOf(segment) !== undefined,
    });
    const finalisedTombstones = dryRun ? 0 : await this.#act(plan, expired, nowMs);
    return { dryRun, graceMs, ...this.#totals(plan, sizes), finalisedTombstones };
  }

  async #segmentSizes(): Promise<Map<SegmentId, Bytes>> {
    const { objects } = await this.#repository.store.list(SEGMENTS_PREFIX, { signal: this.#options.signal });
    const sizes = new Map<SegmentId, Bytes>();
    for (const { key, sizeBytes } of objects) {
      const parsed = parseKey(key);
      if (parsed?.kind === 'segment') sizes.set(parsed.segment, sizeBytes);
    }
    return sizes;
  }

  /** Marks what must be kept. Resolves to the tombstones whose grace is over. */
  async #mark(nowMs: number): Promise<ExpiredTombstone[]> {
    const first = await this.#markOnce(nowMs);
    const second = await this.#markOnce(nowMs);
    const names = new Set(first.map(nameOf));
    return second.filter((tombstone) => names.has(nameOf(tombstone)));
  }

  async #markOnce(nowMs: number): Promise<readonly ExpiredTombstone[]> {
    const { graceMs, signal } = this.#options;
    const { records, expired } = await readRoots(this.#repository, { nowMs, graceMs }, signal);
    for (const record of records) {
      signal?.throwIfAborted();
      await this.#reachable.add(record, signal);
      this.#progress();
    }
    return expired;
  }

  /** Marks what only these tombstones lead to. Resolves to those that hold anything. */
  async #part(expired: readonly ExpiredTombstone[]): Promise<HoldingTombstone[]> {
    const { signal } = this.#options;
    const looks = await atOnce(expired, (tombstone) => lookInto(this.#repository.store, tombstone, signal));
    const holding = looks.filter((tombstone) => tombstone !== undefined);
    for (const { record } of holding) {
      if (record !== null) await this.#parting.add(record, signal).catch(ignoringDamage);
    }
    return holding;
  }

  /** Resolves to how many tombstones lost their records. */
  async #act(plan: CollectionPlan, expired: readonly HoldingTombstone[], nowMs: number): Promise<number> {
    const { graceMs, signal } = this.#options;
    const { store } = this.#repository;
    for (let at = 0; at < plan.condemn.length; at += MAX_CONDEMNED_SEGMENTS) {
      const key = condemnedKey(randomId());
      const segments = plan.condemn.slice(at, at + MAX_CONDEMNED_SEGMENTS);
      await store.put(key, encodeCondemnedList({ formatVersion: 1, requires: [], graceMs, segments }, key), { signal });
    }
    const finalised = await atOnce(expired, (tombstone) => finaliseTombstone(store, tombstone, signal));
    await atOnce(plan.remove, async (segment) => {
      await store.delete(segmentKey(segment), { signal });
      this.#removedSegments++;
      this.#progress();
    });
    await atOnce(plan.settled, (key) => store.delete(key, { signal }));
    await this.#removeOldClocks(nowMs);
    return finalised.filter(Boolean).length;
  }

  /** What kills have left of the asking for the store's time. */
  async #removeOldClocks(nowMs: number): Promise<void> {
    const { signal } = this.#options;
    const { store } = this.#repository;
    const { objects } = await store.list(CLOCK_PREFIX, { signal });
    const old = objects.filter(({ key, modifiedMs }) => {
      return parseKey(key)?.kind === 'clock' && modifiedMs + MIN_GRACE_MS <= nowMs;
    });
    await atOnce(old, ({ key }) => store.delete(key, { signal }));
  }

  #totals(plan: CollectionPlan, sizes: ReadonlyMap<SegmentId, Bytes>) {
    const sizeOf = (segment: SegmentId): Bytes => sizes.get(segment) ?? 0;
    const total = (segments: readonly SegmentId[]): SegmentTotal => ({
      segments: segments.length,
      bytes: sum(segments.map(sizeOf)),
    });
    const dead = plan.keep.map((segment) => this.#reachable.useOf(segment)?.deadBytes(sizeOf(segment)) ?? 0);
    return {
      condemned: total(plan.condemn),
      waiting: total(plan.wait),
      removed: total(plan.remove),
      living: { ...total(plan.keep), deadBytes: sum(dead) },
    };
  }

  #progress(): void {
    this.#options.onProgress?.({ nodes: this.#reachable.nodes, removedSegments: this.#removedSegments });
  }
}

function nameOf({ image, number }: ExpiredTombstone): string {
  return `${image}@${number}`;
}

/** For what is given up anyway: nobody could bring back a whole disk from it. */
function ignoringDamage(error: unknown): void {
  if (!isDamage(error)) throw error;
}

/** What can't be read may refer to anything. */
async function refusingDamage<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!isDamage(error)) throw error;
    const code = error.code === 'NOT_FOUND' ? 'DAMAGED' : error.code;
    throw new LazydiskError(
      code,
      `Nothing is collected while something that may refer to anything can't be read: ${error.message}`,
      { cause: error, facts: error.facts },
    );
  }
}

async function atOnce<Item, Result>(
  items: readonly Item[],
  change: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const queue = new PQueue({ concurrency: PARALLEL_CHANGES });
  return Promise.all(items.map((item) => queue.add(() => change(item))));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function isDamage(error: unknown): error is LazydiskError {
  return hasCode(error, 'DAMAGED', 'UNSUPPORTED', 'NOT_FOUND') && error.facts['bucket'] === undefined;
}
