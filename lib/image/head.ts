/**
 * The head of an image on this host: a disk, its record on disk, the writer's lock, and who has it open.
 *
 * A head that was never written has no files: it is its base. The first open for writing takes the lock, lists a layer, and
 * makes `head.json`; from then on that record is authoritative (head-record.ts). The base is fixed while the head is open
 * or dirty; it moves with our own commits, by revert, and, clean and closed, to what another host has published.
 */
import { rm } from 'node:fs/promises';

import { blockCount } from '../format/geometry.js';
import type { RandomId } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { Head, HeadOwner } from './api.js';
import type { Attendances, Subject } from './attendance.js';
import { HeadAttendance } from './head-attendance.js';
import { HeadDisk } from './head-disk.js';
import type { HeadDiskParts } from './head-state.js';
import { emptyRecord, treeOf, type HeadRecord } from './head-record.js';
import { HeadStack, type Frozen } from './head-stack.js';
import { IdleRounds } from './idle-rounds.js';
import { KeptRecord } from './kept-record.js';
import { unlistedLayers } from './layer-files.js';
import { Layer } from './layer.js';
import { assertBaseLives } from './living-base.js';
import { WriterClaim } from './writer-claim.js';
import type { UploadProgress } from './views.js';
import type { ClaimParts } from './writer-claim.js';

/** What a head works with. */
export interface HeadParts extends HeadDiskParts, ClaimParts {
  readonly attendances: Attendances;
  readonly bootId: string;
  /** The folder that holds one folder per head. */
  readonly headsDirectory: string;
}

/** What does not run beside another of its kind. */
export type HeadWork = 'commit' | 'revert';

/** So many layers mean that commit after commit has failed; each costs every read a look. */
export const MAX_LAYERS = 8;

export class LocalHead implements Head {
  /** What runs that changes what the head consists of; null: nothing. */
  work: HeadWork | null = null;
  /** How far its upload is; null: none runs. */
  upload: UploadProgress | null = null;
  /** Time of a disk that nobody has written and that has no base. */
  private readonly madeMs: number;
  private readonly claim: WriterClaim;
  private readonly stack: HeadStack;
  private readonly rounds: IdleRounds;
  private opens = 0;
  private readonly attendance: HeadAttendance;
  private replacing = false;
  private writers = 0;
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly parts: HeadParts,
    private readonly kept: KeptRecord,
    readonly disk: HeadDisk,
  ) {
    this.madeMs = parts.now();
    this.claim = new WriterClaim(parts, kept);
    this.stack = new HeadStack(parts, kept, disk);
    this.rounds = new IdleRounds(parts, kept, disk);
    this.attendance = new HeadAttendance(parts.attendances);
  }

  /** The head of an image that has a snapshot and was never written here. Makes no files. */
  static onSnapshot(parts: HeadParts, image: string, base: SnapshotRecord): LocalHead {
    const record: HeadRecord = {
      ...emptyRecord(image, base.imageId, base.chunkSizeBytes, parts.bootId),
      contentId: `head/${base.imageId}/${base.commitId}`,
      base,
      seenNumber: base.number,
    };
    const kept = new KeptRecord(parts.headsDirectory, record, false);
    return new LocalHead(parts, kept, new HeadDisk(parts, parts.bases.acquire(base), []));
  }

  /** A new image, never committed, without a disk yet. Its record is durable when it resolves. */
  static async forNewImage(parts: HeadParts, image: string, imageId: RandomId): Promise<LocalHead> {
    const record = emptyRecord(image, imageId, parts.repository.defaultChunkSizeBytes, parts.bootId);
    const kept = new KeptRecord(parts.headsDirectory, record, false);
    await kept.change({});
    return new LocalHead(parts, kept, new HeadDisk(parts, parts.bases.acquire(treeOf(record)), []));
  }

  /** A new image on a snapshot of the image `origin`, which no store knows of. Its record is durable when it resolves. */
  static async forLocalClone(
    parts: HeadParts,
    image: string,
    imageId: RandomId,
    base: SnapshotRecord,
    origin: string,
  ): Promise<LocalHead> {
    const record = { ...emptyRecord(image, imageId, base.chunkSizeBytes, parts.bootId), base, origin };
    const kept = new KeptRecord(parts.headsDirectory, record, false);
    await kept.change({});
    return new LocalHead(parts, kept, new HeadDisk(parts, parts.bases.acquire(base), []));
  }

  /** A head that has a record: opens its layers, and begins to remove what is not listed. */
  static async load(parts: HeadParts, record: HeadRecord): Promise<LocalHead> {
    const kept = new KeptRecord(parts.headsDirectory, record, true);
    const trusted = record.bootId === parts.bootId ? 'live' : 'durable';
    const blocks = blockCount(record.base?.sizeBytes ?? 0);
    const layers: Layer[] = [];
    let sizeBytes = record.base?.sizeBytes ?? 0;
    for (const { id } of record.layers) {
      const layer = await Layer.open(kept.directory, id, blocks, trusted);
      sizeBytes = layer.sizeBytes ?? sizeBytes;
      layer.dropBehind(sizeBytes);
      // At once: a size that grows must not become durable before what lay behind the old one has gone.
      if (trusted === 'durable') await layer.settle();
      layers.push(layer);
    }
    const disk = new HeadDisk(parts, parts.bases.acquire(treeOf(record)), layers);
    // At the latest since now, when the kill came before the first note.
    const dirtySinceMs = record.dirtySinceMs ?? (disk.isDirty() ? parts.now() : null);
    await kept.change({ bootId: parts.bootId, dirtySinceMs });
    const listed = record.layers.map((layer) => layer.id);
    disk.removeFiles(await unlistedLayers(kept.directory, listed));
    return new LocalHead(parts, kept, disk);
  }

  get record(): HeadRecord {
    return this.kept.value;
  }

  /** Whether there is a record on disk: false for a head that is just its base. */
  get isPersisted(): boolean {
    return this.kept.isPersisted;
  }

  /** False in the folder of a new image before `disk.raw` is made. */
  get exists(): boolean {
    return this.record.base !== null || this.record.layers.length > 0;
  }

  /** Whether it is a local clone: the store knows nothing of this image before its first commit. */
  get isLocal(): boolean {
    return this.record.origin !== null;
  }

  get contentId(): string {
    return this.record.contentId;
  }

  get chunkSizeBytes(): number {
    return this.record.chunkSizeBytes;
  }

  get openCount(): number {
    return this.opens;
  }

  sizeBytes(): number {
    return this.disk.sizeBytes;
  }

  modifiedMs(): number {
    return this.disk.lastWriteMs() ?? this.record.base?.timeMs ?? this.madeMs;
  }

  allocatedBytes(): Promise<number> {
    return this.disk.allocatedBytes();
  }

  isDirty(): boolean {
    return this.disk.isDirty();
  }

  owner(): HeadOwner | null {
    return this.record.owner;
  }

  async setOwner(owner: HeadOwner): Promise<void> {
    await this.kept.change({ owner });
  }

  read(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.disk.read(offset, lengthBytes, signal);
  }

  seek(offset: number, whence: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined> {
    return this.disk.seek(offset, whence, signal);
  }

  write(offset: number, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.disk.writes.write(offset, bytes, signal);
  }

  async truncate(sizeBytes: number, signal?: AbortSignal): Promise<void> {
    await this.writable(signal);
    await this.disk.writes.truncate(sizeBytes, signal);
  }

  async extend(sizeBytes: number, signal?: AbortSignal): Promise<void> {
    await this.writable(signal);
    await this.disk.writes.extend(sizeBytes);
  }

  punch(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<void> {
    return this.disk.writes.punch(offset, lengthBytes, signal);
  }

  zeroRange(offset: number, lengthBytes: number, keepSize: boolean, signal?: AbortSignal): Promise<void> {
    return this.disk.writes.zeroRange(offset, lengthBytes, keepSize, signal);
  }

  fsync(): Promise<void> {
    return this.rounds.request();
  }

  expose(key: number): Promise<void> {
    this.disk.expose(key);
    this.attendance.enter(this.disk.currentBase, this.subject());
    return Promise.resolve();
  }

  conceal(key: number): Promise<void> {
    this.disk.conceal(key);
    this.attendance.leave();
    return Promise.resolve();
  }

  /** STALE while the content is being replaced: who opened it then would read another one under the same name. */
  opened(): void {
    if (this.replacing) {
      throw new LazydiskError('STALE', `The disk of ${this.record.image} is being replaced: look it up again.`);
    }
    this.opens++;
  }

  closed(): void {
    this.opens--;
  }

  async openForWriting(signal?: AbortSignal): Promise<void> {
    await this.inTurn(async () => {
      if (this.writers === 0) this.disk.recover();
      this.attendance.enter(this.disk.currentBase, this.subject());
      try {
        await this.ensureLock(signal);
        if (this.record.layers.length === 0) await this.stack.push([]);
      } catch (error) {
        this.attendance.leave();
        throw error;
      }
    });
    this.writers++;
    this.rounds.start();
  }

  closeForWriting(): void {
    this.writers--;
    this.attendance.leave();
  }

  /** A first layer on a new image: `disk.raw` has been made. */
  async makeDisk(): Promise<void> {
    await this.inTurn(async () => {
      if (this.exists) throw new LazydiskError('EXISTS', `${this.record.image} has a disk already.`);
      await this.stack.push([]);
    });
  }

  /** The freeze of a commit (head-stack.ts). */
  freeze(commitId: RandomId, maxLayers = MAX_LAYERS): Promise<Frozen> {
    return this.inTurn(() => this.stack.freeze(commitId, maxLayers));
  }

  /** The base moves to a snapshot of our own (head-stack.ts). Also for a late PUT of ours that is found afterwards. */
  async adopt(record: SnapshotRecord): Promise<void> {
    await this.inTurn(async () => {
      await this.stack.adopt(record, (base) => {
        this.attendance.move(base, this.subject());
      });
      await this.claim.tell();
    });
  }

  /** The content becomes another one: a revert, or a clean head that follows a foreign snapshot. All layers are thrown away. */
  reset(base: SnapshotRecord | null, seenNumber: number): Promise<void> {
    return this.inTurn(() => this.resetNow(base, seenNumber));
  }

  /** A record of ours that a revert has thrown away, or another writer's number that was looked at: later ones count. */
  async passOver(number: number): Promise<void> {
    await this.kept.change({ seenNumber: Math.max(this.record.seenNumber, number) });
  }

  /**
   * The first commit of a local clone takes its name in the store; nothing to do otherwise. EXISTS, LOCKED: another image has
   * it meanwhile. REFUSED names the right that is missing.
   */
  async takeName(signal?: AbortSignal): Promise<void> {
    await this.inTurn(async () => {
      if (!this.isLocal || this.claim.isHeld) return;
      const { repository, stateId } = this.parts;
      const { image, imageId } = this.record;
      await this.claim.take(signal).catch((error: unknown) => {
        // Its holder writes another image: to give up that lock would be no help.
        if (hasCode(error, 'LOCKED')) throw new LazydiskError('LOCKED', nameIsTaken(image), { facts: error.facts });
        throw error;
      });
      const newest = (await repository.listImage(image, signal)).snapshots.at(-1);
      // One of ours is an earlier try whose answer was lost: the commit will find it.
      if (newest !== undefined && (await repository.readRecord(image, newest.number, signal)).imageId !== imageId) {
        await repository.releaseLock(image, stateId, signal);
        throw new LazydiskError('EXISTS', nameIsTaken(image), { facts: { image } });
      }
      await this.claim.hold();
    });
  }

  /** Takes the lock of a new image. LOCKED names the holder. */
  async takeLock(signal?: AbortSignal): Promise<void> {
    await this.claim.take(signal);
    await this.claim.hold();
  }

  /** Ends a head that holds nothing, and removes its folder. */
  async discard(): Promise<void> {
    await this.close();
    await rm(this.kept.directory, { recursive: true, force: true });
  }

  /** Gives the lock up when nothing is lost by it: the head is clean, and a commit has published it. Nobody has it open. */
  async releaseLockIfClean(signal?: AbortSignal): Promise<void> {
    await this.inTurn(async () => {
      if (this.claim.isHeld && !this.isDirty() && this.record.base !== null) await this.claim.giveUp(signal);
    });
  }

  /** As `releaseLockIfClean`, while the mount goes on: BUSY when somebody has opened it meanwhile. */
  async unlock(): Promise<void> {
    await this.inTurn(async () => {
      if (this.opens > 0 || this.writers > 0) {
        throw new LazydiskError('BUSY', `${this.record.image} is open: close disk.raw before unlock.`);
      }
      if (this.claim.isHeld && !this.isDirty() && this.record.base !== null) await this.claim.giveUp(undefined);
    });
  }

  async close(): Promise<void> {
    this.rounds.stop();
    await this.turn;
    await this.disk.close();
  }

  private subject(): Subject {
    const { image, imageId, base, origin } = this.record;
    // A local clone boots as the image that it stands on, and what its boots teach is kept there.
    if (base !== null && origin !== null) return { image: origin, imageId: base.imageId, parent: base.parent };
    return { image, imageId, parent: base?.parent ?? null };
  }

  /** truncate(2) by path comes without an open: it is a write all the same. */
  private async writable(signal: AbortSignal | undefined): Promise<void> {
    if (this.record.layers.length > 0) return;
    await this.openForWriting(signal);
    this.closeForWriting();
  }

  /** Takes the lock unless it is held, then looks whether another host has published meanwhile. */
  private async ensureLock(signal: AbortSignal | undefined): Promise<void> {
    if (this.claim.isHeld || this.isLocal) return;
    const { repository } = this.parts;
    const { image } = this.record;
    await this.claim.take(signal);
    const listing = await repository.summarizeImage(image, signal);
    const newest = listing.snapshots.at(-1);
    if (newest === undefined || newest.number <= this.record.seenNumber || this.isDirty()) {
      // Nobody's writes may begin on what no commit could publish.
      if (!this.isDirty()) await this.orGiveUpLock(assertBaseLives(this.record, listing, repository, signal), signal);
      await this.claim.hold();
      return;
    }
    const record = await repository.readRecord(image, newest.number, signal);
    // No await from this question to the reset: nobody opens it in between.
    if (this.opens > 0) {
      await this.claim.giveUp(signal);
      throw new LazydiskError(
        'BUSY',
        `${image}@${newest.number} was published by another host while this disk is open on ` +
          `@${this.record.seenNumber}: close it everywhere, then open it for writing.`,
      );
    }
    await this.resetNow(record, record.number);
    await this.claim.hold();
    await this.claim.tell();
    throw new LazydiskError('STALE', `${image} has a newer snapshot, ${newest.number}: its disk is another one now.`);
  }

  private async orGiveUpLock(condition: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    try {
      await condition;
    } catch (error) {
      await this.claim.giveUp(signal);
      throw error;
    }
  }

  /** BUSY while somebody has the disk open; whoever opens it from here on is STALE until the new content stands. */
  private async resetNow(base: SnapshotRecord | null, seenNumber: number): Promise<void> {
    if (this.opens > 0) throw new LazydiskError('BUSY', `${this.record.image} is open: close disk.raw first.`);
    this.replacing = true;
    try {
      await this.stack.replace(base, seenNumber);
      await this.claim.tell();
    } finally {
      this.replacing = false;
    }
  }

  /** Nothing happens by itself any more; what is asked for still does. */
  stopRounds(): void {
    this.rounds.stop();
  }

  /** One change of the record at a time. */
  private inTurn<T>(job: () => Promise<T>): Promise<T> {
    const result = this.turn.then(job);
    this.turn = result.catch(() => undefined);
    return result;
  }
}

/** Why a local clone can't be published, and what can be done. */
function nameIsTaken(image: string): string {
  return (
    `Another image has been named ${image} in the repository meanwhile; the changes of this one are kept: ` +
    `publish it under another name with \`lazydisk commit <mountpoint> ${image} --as NEW-IMAGE\`.`
  );
}
