/**
 * One image as this host sees it: its snapshots in the store and its head here.
 *
 * Without a head of its own files, an image's head is the newest snapshot: it follows what other hosts publish, at every
 * look. A head with files follows only while it is clean, closed and not locked by us. Of a local clone the store is never
 * asked: what it may have under that name is another image.
 */
import type { BootProfile } from '../format/profile.js';
import type { RandomId } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { ImageListing } from '../repository/api.js';
import { dropProfile, readProfile, writeProfile } from '../repository/profiles.js';
import { noSuchTag } from '../repository/tags.js';
import { orAborted } from '../util/abort.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type {
  CommitOutcome,
  HeadUsage,
  Health,
  HydrateOutcome,
  Image,
  ImageCommitOptions,
  ImageStatus,
  SnapshotInfo,
} from './api.js';
import { mergedRanges } from './boot-profile.js';
import { commitAs } from './commit-as.js';
import { reconcile } from './commit-record.js';
import { commitHead } from './commit.js';
import type { CommitParts } from './commit.js';
import type { Base } from './base.js';
import { firstReadsOf, glanceAt, lookUp, pictureOf, type Known } from './glance.js';
import { hydrate } from './hydrate.js';
import { ownBase, parentOf } from './head-record.js';
import { LocalHead } from './head.js';
import type { HeadParts } from './head.js';
import { headUsage, snapshotUsage } from './head-usage.js';
import type { Listings, Snapshots } from './listings.js';
import { touchedChunks } from './profile-run.js';
import type { ImagePicture } from './picture.js';
import { SnapshotDisk } from './snapshot-disk.js';
import type { FirstReads, ImageGlance, ImageView } from './views.js';

export interface ImageParts {
  readonly heads: HeadParts;
  readonly commits: CommitParts;
  readonly listings: Listings;
  readonly readOnly: boolean;
  /** Fires when the catalogue is being closed. */
  readonly closing: AbortSignal;
}

export class LocalImage implements Image, ImageView {
  private committing: Promise<unknown> = Promise.resolve();
  private reverting = false;
  private hydration: ImageStatus['hydrating'] = null;
  private hydrated: Promise<HydrateOutcome> | undefined;
  private readonly disks = new Map<number, SnapshotDisk>();
  private looking: Promise<LocalHead | undefined> | undefined;

  constructor(
    private readonly parts: ImageParts,
    readonly name: string,
    readonly id: RandomId,
    private current: LocalHead | undefined,
  ) {}

  /** The head if it has files on this host. */
  get ownHead(): LocalHead | undefined {
    return this.current?.isPersisted === true ? this.current : undefined;
  }

  /** Whether this host has something of it that a snapshot in the store does not tell. */
  get usesHost(): boolean {
    return this.current !== undefined && (this.current.isPersisted || this.current.openCount > 0);
  }

  usage(): HeadUsage | undefined {
    return this.current === undefined ? undefined : headUsage(this.current);
  }

  async snapshots(signal?: AbortSignal): Promise<readonly number[]> {
    return (await this.published(signal)).map(({ number }) => number);
  }

  async tags(signal?: AbortSignal): Promise<readonly string[]> {
    return (await this.listing(signal)).tags;
  }

  async tagged(tag: string, age: 'recent' | 'now', signal?: AbortSignal): Promise<number> {
    const number = this.isLocal ? null : await this.parts.listings.tag(this.name, tag, age, signal);
    if (number === null) throw noSuchTag(this.name, tag, await this.tags(signal));
    return number;
  }

  async snapshotInfo(number: number, signal?: AbortSignal): Promise<SnapshotInfo> {
    const record = await this.livingRecord(number, signal);
    const { sizeBytes, allocatedBytes, timeMs, label, commitId } = record;
    return { number, sizeBytes, allocatedBytes, timeMs, label, commitId };
  }

  /** The newest snapshot; undefined: there is none. */
  async newest(signal?: AbortSignal): Promise<SnapshotDisk | undefined> {
    const number = (await this.snapshots(signal)).at(-1);
    return number === undefined ? undefined : this.snapshot(number, signal);
  }

  async snapshot(number: number, signal?: AbortSignal): Promise<SnapshotDisk> {
    const record = await this.livingRecord(number, signal);
    const { bases, attendances, feed } = this.parts.heads;
    const known = this.disks.get(number);
    if (known !== undefined) return known;
    const disk = new SnapshotDisk(record, this.name, bases, attendances, feed);
    this.disks.set(number, disk);
    return disk;
  }

  async head(signal?: AbortSignal): Promise<LocalHead | undefined> {
    if (this.parts.readOnly) return undefined;
    // One look at a time: two must not follow the same snapshot twice.
    this.looking ??= this.look().finally(() => {
      this.looking = undefined;
    });
    const head = await orAborted(this.looking, signal);
    return head?.exists === true ? head : undefined;
  }

  async createHead(): Promise<LocalHead> {
    this.assertWritable();
    this.current ??= await this.lockNewImage();
    await this.current.makeDisk();
    return this.current;
  }

  /** mkdir: the folder of a new image, whose lock is taken. */
  async reserve(signal?: AbortSignal): Promise<void> {
    this.assertWritable();
    this.current = await this.lockNewImage(signal);
  }

  async commit({ label, as, onCut, signal: caller }: ImageCommitOptions): Promise<CommitOutcome> {
    this.assertWritable();
    const head = await this.head(caller);
    if (head?.exists !== true) throw new LazydiskError('NOT_FOUND', `${this.name} has no disk to commit.`);
    if (head.committing) throw new LazydiskError('BUSY', `A commit of ${this.name} is running: wait for its end.`);
    if (this.reverting) throw new LazydiskError('BUSY', `A revert of ${this.name} is running: wait for its end.`);
    head.committing = true;
    const { closing, commits } = this.parts;
    const signal = caller === undefined ? closing : AbortSignal.any([closing, caller]);
    const options = { label, onCut, signal };
    const commit = as === undefined ? commitHead(head, commits, options) : commitAs(head, as, commits, options);
    const committing = commit.finally(() => {
      head.committing = false;
    });
    this.committing = committing.catch(() => undefined);
    const outcome = await committing;
    this.parts.listings.invalidate();
    return outcome;
  }

  /** Resolves when no commit and no hydration runs. */
  async settled(): Promise<void> {
    await this.committing;
    await this.hydrated?.catch(() => undefined);
  }

  async revert(number?: number): Promise<void> {
    this.assertWritable();
    const head = await this.head();
    if (head?.exists !== true) throw new LazydiskError('NOT_FOUND', `${this.name} has no disk to revert.`);
    const listing = number === undefined ? undefined : await this.listing();
    const record = number === undefined ? head.record.base : await this.livingRecord(number);
    this.assertIdle(head, 'revert');
    // From here to its end no commit begins: each would work on what the other takes away.
    this.reverting = true;
    try {
      await head.reset(record, Math.max(head.record.seenNumber, (listing?.nextNumber ?? 0) - 1));
    } finally {
      this.reverting = false;
    }
  }

  async status(): Promise<ImageStatus> {
    const { listings, heads } = this.parts;
    const head = await this.head();
    const listing = await this.listing();
    const lock = listing.writer;
    // A read-only mount has no head: what it shows is the newest snapshot.
    const number = head === undefined ? listing.snapshots.at(-1)?.number : ownBase(head.record)?.number;
    const origin = head?.isLocal === true ? parentOf(head.record) : null;
    const record = head === undefined && number !== undefined ? await this.livingRecord(number) : undefined;
    const base = head?.disk.currentBase ?? (record && heads.bases.peek(record));
    const usage = head === undefined ? snapshotUsage(record, base) : headUsage(head);
    const health: Health = listings.isOffline() ? 'offline' : usage.failure === null ? 'ok' : 'degraded';
    return {
      image: this.name,
      imageId: this.id,
      ...usage,
      baseNumber: number ?? null,
      localCloneOf: origin && { image: origin.image, number: origin.number },
      health,
      needsStore: usage.missingBytes > 0,
      profile: (base && heads.attendances.replayStatus(base)) ?? null,
      hydrating: this.hydration,
      fill: base === undefined ? 'off' : heads.attendances.fillState(base),
      lock,
      lockIsOurs: head?.record.lockHeld === true || lock?.stateId === heads.stateId,
    };
  }

  glance(): ImageGlance | null {
    const known = this.known();
    return known && glanceAt(this.name, known, this.parts.heads.attendances, this.hydration);
  }

  async picture(mostCells: number, signal?: AbortSignal): Promise<ImagePicture | null> {
    const known = this.known();
    return known === null ? null : pictureOf(known, this.parts.heads.mirror, mostCells, signal);
  }

  async lookUp(signal?: AbortSignal): Promise<void> {
    if (this.known() === null) return;
    const base = await this.acquireBase(undefined);
    try {
      await lookUp(base, signal);
    } finally {
      // Of a closed image it stays among the idle ones for a while.
      await this.parts.heads.bases.release(base);
    }
  }

  async firstReads(mostCells: number): Promise<FirstReads | null> {
    const known = this.known();
    if (known === null) return null;
    const replayed = known.base && this.parts.heads.attendances.replayedProfile(known.base);
    return firstReadsOf(known, replayed ?? (await this.profile()), mostCells);
  }

  /** What is in memory of it. */
  private known(): Known | null {
    const head = this.current?.exists === true ? this.current : undefined;
    if (head !== undefined) return { head, base: head.disk.currentBase, snapshotNumber: undefined };
    const number = Math.max(...this.disks.keys());
    const record = this.disks.get(number)?.record;
    return record === undefined ? null : { head, base: this.parts.heads.bases.peek(record), snapshotNumber: number };
  }

  async hydrate(number?: number): Promise<HydrateOutcome> {
    if (this.hydration !== null) throw new LazydiskError('BUSY', `${this.name} is being hydrated: wait for its end.`);
    const { heads, closing } = this.parts;
    const { bases, mirror } = heads;
    this.hydration = { arrivedBytes: 0, totalBytes: 0 };
    try {
      const base = await this.acquireBase(number);
      this.hydration = { arrivedBytes: 0, totalBytes: base.missingBytes() };
      try {
        this.hydrated = hydrate(base, {
          image: this.name,
          quotaBytes: mirror.statistics().quotaBytes,
          signal: closing,
          onProgress: (arrivedBytes) => {
            if (this.hydration !== null) this.hydration = { ...this.hydration, arrivedBytes };
          },
        });
        return await this.hydrated;
      } finally {
        await bases.release(base);
      }
    } finally {
      this.hydration = null;
    }
  }

  /** The base of the head, or of a snapshot; to be given back. NOT_FOUND. */
  private async acquireBase(number: number | undefined): Promise<Base> {
    const { bases } = this.parts.heads;
    if (number !== undefined) return bases.acquire(await this.livingRecord(number));
    const head = await this.head();
    if (head !== undefined) {
      const base = head.disk.currentBase;
      bases.retain(base);
      return base;
    }
    const newest = await this.newest();
    if (newest === undefined) throw new LazydiskError('NOT_FOUND', `${this.name} has no snapshot yet: commit first.`);
    return bases.acquire(newest.record);
  }

  async profile(): Promise<BootProfile | null> {
    return this.isLocal ? null : readProfile(this.parts.heads.repository.store, this.name);
  }

  async recordProfile(): Promise<BootProfile> {
    this.assertWritable();
    this.assertPublished();
    const { heads } = this.parts;
    const base = (await this.head())?.disk.currentBase;
    const touched = base === undefined ? [] : touchedChunks(base);
    if (base === undefined || touched.length === 0) {
      throw new LazydiskError(
        'CONFLICT',
        `Nothing of ${this.name} was read on this mount: boot it from disk.raw, then record.`,
      );
    }
    const ranges = mergedRanges([], touched, base.tree.chunkSizeBytes);
    const profile = { formatVersion: 1, imageId: this.id, timeMs: heads.now(), boots: 1, ranges } as const;
    await writeProfile(heads.repository.store, this.name, profile);
    return profile;
  }

  async dropProfile(): Promise<void> {
    this.assertWritable();
    this.assertPublished();
    await dropProfile(this.parts.heads.repository.store, this.name);
  }

  /** Whose are the records that came since? Adopts what we published before we were killed. */
  async reconcile(signal?: AbortSignal): Promise<void> {
    if (this.ownHead !== undefined) await reconcile(this.ownHead, this.parts.commits, signal);
  }

  /** Gives our lock up. CONFLICT while there are changes, BUSY while it is open. */
  async unlock(): Promise<void> {
    const head = this.ownHead;
    const { repository, stateId } = this.parts.heads;
    if (head !== undefined) {
      this.assertIdle(head, 'unlock');
      if (head.isDirty()) {
        throw new LazydiskError(
          'CONFLICT',
          `${this.name} has changes: commit or revert them before the lock is given up.`,
        );
      }
      if (head.record.lockHeld) {
        await head.unlock();
        this.parts.listings.invalidate();
        return;
      }
    }
    const lock = await repository.readLock(this.name);
    if (lock !== null && lock.stateId !== stateId) {
      throw new LazydiskError(
        'LOCKED',
        `${this.name} is locked by ${lock.host} (process ${lock.pid}), not by this mount; if that host is gone, ` +
          `run \`lazydisk unlock <repository> ${this.name}\`.`,
        { facts: { lock } },
      );
    }
    await repository.releaseLock(this.name, stateId);
    this.parts.listings.invalidate();
  }

  /** Whose snapshots the numbers are that `cloneSource` tells: this image's, or those of the one that a local clone stands on. */
  get numberedBy(): string {
    return this.ownHead?.record.origin ?? this.name;
  }

  /** The record of a snapshot to clone: `number`, or `cloneSource`. */
  async cloneRecord(number: number | undefined, signal?: AbortSignal): Promise<SnapshotRecord> {
    if (number !== undefined) return this.livingRecord(number, signal);
    const chosen = await this.cloneSource();
    const base = this.ownHead?.record.base;
    return base?.number === chosen ? base : this.livingRecord(chosen, signal);
  }

  /** The number to clone from when none is given. */
  async cloneSource(): Promise<number> {
    const head = await this.head();
    if (head?.isDirty() === true) {
      throw new LazydiskError(
        'CONFLICT',
        `${this.name} has changes that are in no snapshot: commit first, name a snapshot (${this.name}@N), or say --commit.`,
      );
    }
    const number = head?.record.base?.number ?? (await this.snapshots()).at(-1);
    if (number === undefined) throw new LazydiskError('NOT_FOUND', `${this.name} has no snapshot yet: commit first.`);
    return number;
  }

  private assertIdle(head: LocalHead, verb: string): void {
    if (head.openCount > 0) throw new LazydiskError('BUSY', `${this.name} is open: close disk.raw before ${verb}.`);
    if (head.committing) throw new LazydiskError('BUSY', `A commit of ${this.name} is running: wait before ${verb}.`);
  }

  private get isLocal(): boolean {
    return this.ownHead?.isLocal === true;
  }

  private assertPublished(): void {
    if (!this.isLocal) return;
    throw new LazydiskError(
      'CONFLICT',
      `${this.name} is on this host only, and its boot profile is that of ${this.numberedBy}: commit it first.`,
    );
  }

  private assertWritable(): void {
    if (this.parts.readOnly) throw new LazydiskError('READ_ONLY', 'This is a read-only mount.');
  }

  private async lockNewImage(signal?: AbortSignal): Promise<LocalHead> {
    const { heads } = this.parts;
    const head = await LocalHead.forNewImage(heads, this.name, this.id);
    try {
      await head.takeLock(signal);
      return head;
    } catch (error) {
      await head.discard();
      throw error;
    }
  }

  private async look(): Promise<LocalHead | undefined> {
    const head = this.current;
    if (head !== undefined && isFixed(head)) return head;
    const newest = (await this.published()).at(-1);
    if (newest === undefined) return head;
    if (head !== undefined && newest.number <= head.record.seenNumber) return head;
    const record = await this.parts.listings.record(this.name, newest.number);
    // Opened meanwhile: it stays what it is.
    if (head !== undefined && isFixed(head)) return head;
    if (head?.isPersisted === true) {
      // Opened in this moment: the same.
      await head.reset(record, record.number).catch((error: unknown) => {
        if (!hasCode(error, 'BUSY')) throw error;
      });
      return head;
    }
    await head?.close();
    this.current = LocalHead.onSnapshot(this.parts.heads, this.name, record);
    return this.current;
  }

  /** What the store lists; of a head with files here, its base is known without the store. */
  async listing(signal?: AbortSignal): Promise<ImageListing> {
    const known = this.knownListing();
    return this.isLocal && known !== undefined ? known : this.parts.listings.listing(this.name, signal, known);
  }

  /** The snapshots of the same, without waiting for the lock where that can be. */
  async published(signal?: AbortSignal): Promise<Snapshots> {
    const known = this.knownListing();
    if (this.isLocal && known !== undefined) return known.snapshots;
    return this.parts.listings.snapshots(this.name, signal, known);
  }

  /** What the head says; all there is of a local clone. Undefined: no head. */
  private knownListing(): ImageListing | undefined {
    const record = this.ownHead?.record;
    if (record === undefined) return undefined;
    const { seenNumber, origin } = record;
    const base = origin === null ? record.base : null;
    return {
      image: this.name,
      snapshots: base === null ? [] : [{ number: base.number, publishedMs: base.timeMs }],
      deleted: [],
      writer: null,
      tags: [],
      nextNumber: origin === null ? seenNumber + 1 : 1,
    };
  }

  private async livingRecord(number: number, signal?: AbortSignal): Promise<SnapshotRecord> {
    const numbers = await this.snapshots(signal);
    if (!numbers.includes(number)) {
      throw new LazydiskError(
        'NOT_FOUND',
        `${this.name} has no snapshot ${number}; it has: ${numbers.join(', ') || 'none'}.`,
      );
    }
    const base = this.ownHead?.record.base;
    return base?.number === number ? base : this.parts.listings.record(this.name, number, signal);
  }
}

/** Whether a head stays on its base, whatever others publish. */
function isFixed(head: LocalHead): boolean {
  return head.isLocal || head.record.lockHeld || head.isDirty() || head.openCount > 0 || head.committing;
}
