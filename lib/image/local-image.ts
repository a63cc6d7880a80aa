/**
 * One image as this host sees it: its snapshots in the store (image-snapshots.ts) and its head here (followed-head.ts).
 *
 * This file says what may happen at once. A commit and a revert exclude each other, since each works on what the other takes
 * away; a revert and an unlock want the disk closed; a hydration, a look or a boot profile runs beside all of them.
 */
import type { BootProfile } from '../format/profile.js';
import type { RandomId } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { LazydiskError } from '../util/errors.js';
import type { CommitOutcome, HeadUsage, HydrateOutcome, Image, ImageCommitOptions, ImageStatus } from './api.js';
import type { SnapshotInfo } from './api.js';
import { commitAs } from './commit-as.js';
import { reconcile } from './commit-record.js';
import { commitHead } from './commit.js';
import type { CommitParts } from './commit.js';
import { FollowedHead } from './followed-head.js';
import { headUsage } from './head-usage.js';
import type { HeadWork } from './head-use.js';
import type { HeadParts, LocalHead } from './head.js';
import { ImageHydration } from './image-hydration.js';
import { ImageProfile } from './image-profile.js';
import { ImageSnapshots } from './image-snapshots.js';
import { statusOf } from './image-status.js';
import { LocalImageView } from './image-view.js';
import type { Listings } from './listings.js';
import type { StoreWatch } from './store-watch.js';
import type { SnapshotDisk } from './snapshot-disk.js';

export interface ImageParts {
  readonly heads: HeadParts;
  readonly commits: CommitParts;
  readonly listings: Listings;
  readonly storeWatch: StoreWatch;
  readonly readOnly: boolean;
  /** Fires when the catalogue is being closed. */
  readonly closing: AbortSignal;
}

/** READ_ONLY. */
export function assertWritable({ readOnly }: ImageParts): void {
  if (readOnly) throw new LazydiskError('READ_ONLY', 'This is a read-only mount.');
}

export class LocalImage implements Image {
  readonly view: LocalImageView;
  readonly published: ImageSnapshots;
  private readonly followed: FollowedHead;
  private readonly hydration: ImageHydration;
  private readonly bootProfile: ImageProfile;
  private working: Promise<unknown> = Promise.resolve();

  /** `head`: the one that this host has of it already. */
  constructor(
    private readonly parts: ImageParts,
    readonly name: string,
    readonly id: RandomId,
    head: LocalHead | undefined,
  ) {
    this.published = new ImageSnapshots(parts, name, () => this.ownHead);
    this.followed = new FollowedHead(parts, name, id, this.published, head);
    this.hydration = new ImageHydration(parts, name, this.followed);
    this.bootProfile = new ImageProfile(parts.heads, name, id, this.followed);
    const { hydration, bootProfile: profile, followed, published: snapshots } = this;
    this.view = new LocalImageView({ name, heads: parts.heads, head: followed, snapshots, hydration, profile });
  }

  /** The head if it has files on this host. */
  get ownHead(): LocalHead | undefined {
    return this.followed.own;
  }

  /** Whether this host has something of it that a snapshot in the store does not tell. */
  get usesHost(): boolean {
    const head = this.followed.known;
    return head !== undefined && (head.isPersisted || head.openCount > 0);
  }

  usage(): HeadUsage | undefined {
    const head = this.followed.known;
    return head === undefined ? undefined : headUsage(head);
  }

  snapshots(signal?: AbortSignal): Promise<readonly number[]> {
    return this.published.numbers(signal);
  }

  tags(signal?: AbortSignal): Promise<readonly string[]> {
    return this.published.tags(signal);
  }

  tagged(tag: string, age: 'recent' | 'now', signal?: AbortSignal): Promise<number> {
    return this.published.tagged(tag, age, signal);
  }

  snapshotInfo(number: number, signal?: AbortSignal): Promise<SnapshotInfo> {
    return this.published.info(number, signal);
  }

  snapshot(number: number, signal?: AbortSignal): Promise<SnapshotDisk> {
    return this.published.disk(number, signal);
  }

  head(signal?: AbortSignal): Promise<LocalHead | undefined> {
    return this.followed.look(signal);
  }

  async createHead(): Promise<LocalHead> {
    assertWritable(this.parts);
    return this.followed.makeDisk();
  }

  async commit({ label, as, onCut, signal: caller }: ImageCommitOptions): Promise<CommitOutcome> {
    assertWritable(this.parts);
    const { closing, commits, listings } = this.parts;
    const head = await this.existingHead('commit', caller);
    const signal = caller === undefined ? closing : AbortSignal.any([closing, caller]);
    const options = { label, onCut, signal };
    const outcome = await this.alone(head, 'commit', () =>
      as === undefined ? commitHead(head, commits, options) : commitAs(head, as, commits, options),
    );
    listings.invalidate();
    return outcome;
  }

  async revert(number?: number): Promise<void> {
    assertWritable(this.parts);
    const head = await this.existingHead('revert');
    const listing = number === undefined ? undefined : await this.published.listing();
    const record = number === undefined ? head.record.base : await this.published.living(number);
    head.use.assertClosed('revert');
    const seenNumber = Math.max(head.record.seenNumber, (listing?.nextNumber ?? 0) - 1);
    await this.alone(head, 'revert', () => head.reset(record, seenNumber));
  }

  /** Resolves when no commit, revert or hydration runs. */
  async settled(): Promise<void> {
    await this.working;
    await this.hydration.settled();
  }

  status(): Promise<ImageStatus> {
    const { name, id, hydration, followed: head, published: snapshots } = this;
    const { heads, listings } = this.parts;
    return statusOf({ name, id, heads, head, snapshots, hydration, isOffline: () => listings.isOffline() });
  }

  hydrate(number?: number): Promise<HydrateOutcome> {
    return this.hydration.run(number);
  }

  profile(): Promise<BootProfile | null> {
    return this.bootProfile.read();
  }

  async recordProfile(): Promise<BootProfile> {
    assertWritable(this.parts);
    return this.bootProfile.record();
  }

  async dropProfile(): Promise<void> {
    assertWritable(this.parts);
    await this.bootProfile.drop();
  }

  /** mkdir: the folder of a new image, whose lock is taken. */
  async reserve(signal?: AbortSignal): Promise<void> {
    assertWritable(this.parts);
    await this.followed.reserve(signal);
  }

  /** Whose are the records that came since? Adopts what we published before we were killed. */
  async reconcile(signal?: AbortSignal): Promise<void> {
    if (this.ownHead === undefined) return;
    await reconcile(this.ownHead, this.parts.commits, signal);
    // What was asked before may not tell of a record that came last.
    this.parts.listings.invalidate();
  }

  /** Gives our lock up. CONFLICT while there are changes, BUSY while it is open. */
  async unlock(): Promise<void> {
    const head = this.ownHead;
    if (head !== undefined) {
      head.use.assertClosed('unlock');
      head.use.assertNothingRuns();
      if (head.isDirty()) {
        throw new LazydiskError(
          'CONFLICT',
          `${this.name} has changes: commit or revert them before the lock is given up.`,
        );
      }
    }
    if (head?.record.lockHeld === true) await head.unlock();
    else await this.releaseForgottenLock();
    this.parts.listings.invalidate();
  }

  /** Whose snapshots the numbers are that `cloneSource` tells: this image's, or those of the one that a local clone stands on. */
  get numberedBy(): string {
    return this.ownHead?.record.origin ?? this.name;
  }

  /** The record of a snapshot to clone: `number`, or `cloneSource`. */
  async cloneRecord(number: number | undefined, signal?: AbortSignal): Promise<SnapshotRecord> {
    if (number !== undefined) return this.published.living(number, signal);
    const chosen = await this.cloneSource();
    const base = this.ownHead?.record.base;
    return base?.number === chosen ? base : this.published.living(chosen, signal);
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

  private async existingHead(verb: HeadWork, signal?: AbortSignal): Promise<LocalHead> {
    const head = await this.head(signal);
    if (head === undefined) throw new LazydiskError('NOT_FOUND', `${this.name} has no disk to ${verb}.`);
    return head;
  }

  /** BUSY while another work runs. */
  private async alone<T>(head: LocalHead, work: HeadWork, job: () => Promise<T>): Promise<T> {
    const { use } = head;
    use.assertNothingRuns();
    use.work = work;
    const working = job().finally(() => {
      use.work = null;
    });
    this.working = working.catch(() => undefined);
    return working;
  }

  /** One of this state directory that no head knows of: a kill came before it was noted. LOCKED: it is somebody else's. */
  private async releaseForgottenLock(): Promise<void> {
    const { repository, stateId } = this.parts.heads;
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
  }
}
