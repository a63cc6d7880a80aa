/**
 * What the store says about images, at most a second old, and what it said last when it is away.
 *
 * Listings are asked for by lookups, so one that fails must not hold a lookup for minutes: with something to fall back on,
 * the store gets a few seconds, and for a while after a failure it is not asked at all. Without a fallback the caller waits
 * for as long as the store's own time-out. Nothing here runs on a timer (store-watch.ts does, while the store is away): an idle
 * mount sends no request.
 *
 * The listing of the names tells of every image what a listing of its own would, but for the lock. So `ls -l` of a mount asks
 * the store once and not once for each image, and who only needs an image's snapshots does not wait for its lock.
 */
import { IMAGES_PREFIX } from '../format/keys.js';
import { decodeSnapshotRecord, encodeSnapshotRecord } from '../format/snapshot-record.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { LocalDatabase } from '../mirror/local-database.js';
import type { ImageListing, ImageSummary, Repository } from '../repository/api.js';
import { SingleFlight } from '../repository/single-flight.js';
import { readTag } from '../repository/tags.js';
import { orAborted } from '../util/abort.js';
import { hasCode, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { KeptAnswers } from './kept-answers.js';

/** Ascending. */
export type Snapshots = ImageListing['snapshots'];

/** The listing of the names, asked for before there was anything to keep the answer in. */
export interface EarlyNames {
  readonly summaries: Promise<readonly ImageSummary[]>;
  readonly askedMs: number;
}

export interface ListingsParts {
  readonly repository: Repository;
  readonly database: Pick<LocalDatabase, 'get' | 'put'>;
  /** The first question for the names takes this answer, if it is still young enough. */
  readonly early?: EarlyNames | undefined;
  readonly log: Log;
  /** Milliseconds of any clock. One that is set back makes what is known old, never young for ever. */
  readonly now: () => number;
  /** Told whenever the store was asked and is away. Returns at once. */
  readonly onAway?: () => void;
}

/** How old an answer may be, milliseconds. */
const FRESH_MS = 1000;
/** How long the store is given when there is a fallback, and how long it is left alone after it failed, milliseconds. */
const PATIENCE_MS = 4000;
const LEAVE_ALONE_MS = 4000;
/** How long it is given when nobody waits for the answer, milliseconds. */
const LOOK_MS = 10_000;

interface Answer {
  readonly value: Promise<unknown>;
  readonly askedMs: number;
}

export class Listings {
  private readonly answers = new Map<string, Answer>();
  /** What the last listing of the names said of each image, and when it was asked. */
  private summed: { readonly images: ReadonlyMap<string, ImageSummary>; readonly askedMs: number } | undefined;
  private readonly kept: KeptAnswers;
  private readonly reading = new SingleFlight<SnapshotRecord>();
  private early: EarlyNames | undefined;
  private failedMs = Number.NEGATIVE_INFINITY;
  /** How often we have changed something in the store: what was asked before the last time is not kept. */
  private changes = 0;
  /** By the same clock as `now`; null: it answered when it was asked last. */
  private awaySinceMs: number | null = null;

  constructor(private readonly parts: ListingsParts) {
    this.early = parts.early;
    this.kept = new KeptAnswers(parts.database, parts.log);
  }

  /** Whether the last question to the store went unanswered. */
  isOffline(): boolean {
    return this.awaySinceMs !== null;
  }

  /** Asks the store for nothing but to know whether it answers. Never rejects. */
  async look(closing: AbortSignal): Promise<void> {
    const patience = AbortSignal.timeout(LOOK_MS);
    const signal = AbortSignal.any([closing, patience]);
    try {
      // Short whatever the repository holds, and it needs the right that the listings need.
      await this.parts.repository.store.list(IMAGES_PREFIX, { delimiter: '/', signal });
      this.noteBack();
    } catch (error) {
      if (closing.aborted) return;
      if (patience.aborted || hasCode(error, 'UNREACHABLE', 'REFUSED')) {
        this.noteAway(reasonOf(error, patience, LOOK_MS));
      }
    }
  }

  /** Names in the repository, ascending. `fallback`: what is known without having asked, for a store that is away. */
  names(signal?: AbortSignal, fallback?: readonly string[]): Promise<readonly string[]> {
    const early = this.takeEarly();
    const askedMs = early?.askedMs ?? this.parts.now();
    const { changes } = this;
    const question = async (abort?: AbortSignal): Promise<readonly string[]> => {
      const summaries = await (early === undefined
        ? this.parts.repository.imageSummaries(abort)
        : orAborted(early.summaries, abort));
      if (changes === this.changes) {
        this.summed = { images: new Map(summaries.map((summary) => [summary.image, summary])), askedMs };
      }
      return summaries.map(({ image }) => image);
    };
    return orAborted(
      this.fresh('names', () => this.ask('names', question, (kept) => kept ?? fallback), askedMs),
      signal,
    );
  }

  /** The newest snapshot of each image, as the names' listing says. */
  async newest(signal?: AbortSignal): Promise<{ image: string; number: number }[]> {
    await this.names(signal);
    const images = [...(this.summed?.images.values() ?? [])];
    return images.flatMap(({ image, snapshots }) => {
      const last = snapshots.at(-1);
      return last === undefined ? [] : { image, number: last.number };
    });
  }

  /** The newest snapshot that was there when the names were listed last, however long ago that was. */
  lastKnown(image: string): number | undefined {
    return this.summed?.images.get(image)?.snapshots.at(-1)?.number;
  }

  /** The snapshots of an image, as `listing` tells them; its lock is not read where that is not needed for them. */
  async snapshots(image: string, signal?: AbortSignal, fallback?: ImageListing): Promise<Snapshots> {
    return (this.summaryOf(image)?.summary ?? (await this.listing(image, signal, fallback))).snapshots;
  }

  listing(image: string, signal?: AbortSignal, fallback?: ImageListing): Promise<ImageListing> {
    const key = `image/${image}`;
    const { repository } = this.parts;
    const known = this.summaryOf(image);
    const question = (abort?: AbortSignal): Promise<ImageListing> =>
      known === undefined ? repository.listImage(image, abort) : repository.completeListing(known.summary, abort);
    return orAborted(
      // An answer that rests on the names' listing is as old as that.
      this.fresh(key, () => this.ask(key, question, (kept) => whatIsKnown(kept, fallback)), known?.askedMs),
      signal,
    );
  }

  /** The number that a tag leads to, null when there is no such tag: an answer of the last second, or one that is asked for now. */
  tag(image: string, tag: string, age: 'recent' | 'now', signal?: AbortSignal): Promise<number | null> {
    const key = `tag/${image}/${tag}`;
    const { store } = this.parts.repository;
    const question = async (abort?: AbortSignal): Promise<number | null> =>
      (await readTag(store, image, tag, abort))?.number ?? null;
    if (age === 'now') this.answers.delete(key);
    return orAborted(
      this.fresh(key, () => this.ask(key, question, (kept) => kept)),
      signal,
    );
  }

  /** A record; those that were read once are here for ever, and who asks while one is being read waits for that answer. */
  record(image: string, number: number, signal?: AbortSignal): Promise<SnapshotRecord> {
    const key = `record/${image}/${number}`;
    const read = async (shared: AbortSignal): Promise<SnapshotRecord> => {
      const kept = await this.kept.recall(key);
      if (kept !== undefined) return decodeSnapshotRecord(kept, `${key} of the local database`);
      const record = await this.parts.repository.readRecord(image, number, shared);
      await this.kept.remember(key, encodeSnapshotRecord(record, key));
      return record;
    };
    return this.reading.run(key, read, signal);
  }

  /** We have changed something in the store ourselves, so it is there: the next question goes to it. */
  invalidate(): void {
    this.changes++;
    this.failedMs = Number.NEGATIVE_INFINITY;
    this.answers.clear();
    this.early = undefined;
    if (this.summed !== undefined) this.summed = { ...this.summed, askedMs: Number.NEGATIVE_INFINITY };
  }

  private takeEarly(): EarlyNames | undefined {
    const { early } = this;
    this.early = undefined;
    return early !== undefined && this.isWithin(FRESH_MS, early.askedMs) ? early : undefined;
  }

  /** What the names' listing says of an image, while that is fresh. */
  private summaryOf(image: string): { summary: ImageSummary; askedMs: number } | undefined {
    const { summed } = this;
    if (summed === undefined || !this.isWithin(FRESH_MS, summed.askedMs)) return undefined;
    const summary = summed.images.get(image);
    return summary === undefined ? undefined : { summary, askedMs: summed.askedMs };
  }

  private isWithin(ms: number, sinceMs: number): boolean {
    const ageMs = this.parts.now() - sinceMs;
    return ageMs >= 0 && ageMs < ms;
  }

  private fresh<T>(key: string, question: () => Promise<T>, askedMs?: number): Promise<T> {
    const known = this.answers.get(key);
    if (known !== undefined && this.isWithin(FRESH_MS, known.askedMs)) return known.value as Promise<T>;
    const answer: Answer = { askedMs: askedMs ?? this.parts.now(), value: question() };
    const { value } = answer;
    this.answers.set(key, answer);
    value.catch(() => {
      if (this.answers.get(key) === answer) this.answers.delete(key);
    });
    if (this.answers.size > 10_000) this.answers.clear();
    return value as Promise<T>;
  }

  /** `otherwise`: what is answered while the store is away, by what it said last. */
  private async ask<T>(
    key: string,
    question: (signal?: AbortSignal) => Promise<T>,
    otherwise: (kept: T | undefined) => T | undefined,
  ): Promise<T> {
    const { changes } = this;
    const kept = await this.kept.recall(key);
    const fallback = otherwise(kept === undefined ? undefined : (JSON.parse(kept.toString('utf8')) as T));
    if (fallback !== undefined && this.isWithin(LEAVE_ALONE_MS, this.failedMs)) return fallback;
    const patience = fallback === undefined ? undefined : AbortSignal.timeout(PATIENCE_MS);
    try {
      const answer = await question(patience);
      this.noteBack();
      if (changes === this.changes) await this.kept.keep(key, answer);
      return answer;
    } catch (error) {
      const isAway = patience?.aborted === true || hasCode(error, 'UNREACHABLE');
      const reason = reasonOf(error, patience, PATIENCE_MS);
      const isDenied = fallback !== undefined && hasCode(error, 'REFUSED');
      if (isAway || isDenied) this.noteAway(reason);
      if (fallback === undefined || !(isAway || isDenied)) throw error;
      if (changes === this.changes) this.failedMs = this.parts.now();
      return fallback;
    }
  }

  private noteAway(reason: string): void {
    if (this.awaySinceMs === null) {
      this.parts.log.warn('The store does not answer; what is local goes on.', { error: reason });
      this.awaySinceMs = this.parts.now();
    }
    this.parts.onAway?.();
  }

  private noteBack(): void {
    if (this.awaySinceMs === null) return;
    this.parts.log.info('The store answers again.', { awayMs: this.parts.now() - this.awaySinceMs });
    this.awaySinceMs = null;
  }
}

/** What is told of a question that failed, or that was given up after so long. */
function reasonOf(error: unknown, patience: AbortSignal | undefined, patienceMs: number): string {
  return patience?.aborted === true ? `It did not answer within ${String(patienceMs / 1000)} s.` : messageOf(error);
}

/** A listing that was kept before there were tags. */
type KeptListing = Omit<ImageListing, 'tags'> & Partial<ImageListing>;

/**
 * A listing for a store that is away, of what it said last and what the head of this host says: that may stand on a snapshot
 * which it has published since.
 */
function whatIsKnown(kept: KeptListing | undefined, own: ImageListing | undefined): ImageListing | undefined {
  if (kept === undefined) return own;
  const since = own?.snapshots.filter(({ number }) => number >= kept.nextNumber) ?? [];
  return {
    ...kept,
    tags: kept.tags ?? [],
    snapshots: [...kept.snapshots, ...since],
    nextNumber: Math.max(kept.nextNumber, own?.nextNumber ?? 1),
  };
}
