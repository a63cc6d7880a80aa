/**
 * The head of an image on this host: a disk, its record on disk (kept-record.ts), the writer's lock (head-lock.ts), and who
 * uses it (head-use.ts).
 *
 * A head that was never written has no files: it is its base. The first open for writing takes the lock, lists a layer, and
 * makes `head.json`; from then on that record is authoritative (head-record.ts). The base is fixed while the head is open
 * or dirty; it moves with our own commits, by revert, and, clean and closed, to what another host has published.
 */
import { rm } from 'node:fs/promises';

import type { RandomId } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { orAborted } from '../util/abort.js';
import { LazydiskError } from '../util/errors.js';
import { Turns } from '../util/turns.js';
import type { Head, HeadOwner, Opening } from './api.js';
import type { Attendances } from './attendance.js';
import { HeadAttendance } from './head-attendance.js';
import { HeadDisk } from './head-disk.js';
import { HeadLock } from './head-lock.js';
import type { HeadRecord } from './head-record.js';
import { HeadStack, MAX_LAYERS, type Frozen } from './head-stack.js';
import type { HeadDiskParts } from './head-state.js';
import { HeadUse } from './head-use.js';
import { IdleRounds } from './idle-rounds.js';
import type { KeptRecord } from './kept-record.js';
import type { UploadProgress } from './views.js';
import type { ClaimParts } from './writer-claim.js';

/** What a head works with. */
export interface HeadParts extends HeadDiskParts, ClaimParts {
  readonly attendances: Attendances;
  readonly bootId: string;
  /** The folder that holds one folder per head. */
  readonly headsDirectory: string;
}

export class LocalHead implements Head {
  readonly use: HeadUse;
  readonly lock: HeadLock;
  /** How far the upload of its commit is; null: none runs. */
  upload: UploadProgress | null = null;
  /** Time of a disk that nobody has written and that has no base. */
  private readonly madeMs: number;
  private readonly stack: HeadStack;
  private readonly rounds: IdleRounds;
  private readonly attendance: HeadAttendance;
  /** One change of the record at a time. */
  private readonly turns = new Turns();

  /** Called by make-head.ts alone. */
  constructor(
    parts: HeadParts,
    private readonly kept: KeptRecord,
    readonly disk: HeadDisk,
  ) {
    this.use = new HeadUse(kept.value.image);
    this.madeMs = parts.now();
    this.lock = new HeadLock(parts, kept, {
      isDirty: () => disk.isDirty(),
      isOpen: () => this.use.openCount > 0,
      follow: (record) => this.replace(record, record.number),
    });
    this.stack = new HeadStack(parts, kept, disk);
    this.rounds = new IdleRounds(parts, kept, disk);
    this.attendance = new HeadAttendance(parts.attendances, kept);
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
    return this.use.openCount;
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
    this.attendance.enter(this.disk.currentBase);
    return Promise.resolve();
  }

  conceal(key: number): Promise<void> {
    this.disk.conceal(key);
    this.attendance.leave();
    return Promise.resolve();
  }

  opened(opening: Opening = 'new'): void {
    if (this.use.opened() === 'first') this.rounds.begin(opening);
  }

  closed(): void {
    this.use.closed();
  }

  async openForWriting(signal?: AbortSignal, opening: Opening = 'new'): Promise<void> {
    await this.turns.take(async () => {
      this.use.assertStays();
      if (!this.use.hasWriters) this.rounds.begin(opening);
      this.attendance.enter(this.disk.currentBase);
      try {
        await this.lock.takeToWrite(signal);
        if (this.record.layers.length === 0) await this.stack.push([]);
      } catch (error) {
        this.attendance.leave();
        throw error;
      }
    });
    this.use.openedForWriting();
    this.rounds.start();
  }

  closeForWriting(): void {
    this.use.closedForWriting();
    this.attendance.leave();
  }

  /** A first layer on a new image: `disk.raw` has been made. */
  async makeDisk(): Promise<void> {
    await this.turns.take(async () => {
      if (this.exists) throw new LazydiskError('EXISTS', `${this.record.image} has a disk already.`);
      await this.stack.push([]);
    });
  }

  /** The freeze of a commit (head-stack.ts). */
  freeze(commitId: RandomId, maxLayers = MAX_LAYERS): Promise<Frozen> {
    return this.turns.take(() => this.stack.freeze(commitId, maxLayers));
  }

  /** The base moves to a snapshot of our own (head-stack.ts), then the lock is told; nobody waits for that after `signal`. */
  async adopt(record: SnapshotRecord, signal?: AbortSignal): Promise<void> {
    await this.turns.take(() =>
      this.stack.adopt(record, (base) => {
        this.attendance.move(base);
      }),
    );
    await orAborted(this.lock.tell(), signal).catch(() => undefined);
  }

  /** The content becomes another one: a revert, or a clean head that follows a foreign snapshot. All layers are thrown away. */
  async reset(base: SnapshotRecord | null, seenNumber: number): Promise<void> {
    await this.turns.take(() => this.replace(base, seenNumber));
    await this.lock.tell();
  }

  /** A record of ours that a revert has thrown away, or another writer's number that was looked at: later ones count. */
  async passOver(number: number): Promise<void> {
    await this.kept.change({ seenNumber: Math.max(this.record.seenNumber, number) });
  }

  /** The lock of a local clone, for its first commit (head-lock.ts). */
  takeName(signal?: AbortSignal): Promise<void> {
    return this.turns.take(() => this.lock.takeName(signal));
  }

  /** The lock of a new image. LOCKED names the holder. */
  takeLock(signal?: AbortSignal): Promise<void> {
    return this.turns.take(() => this.lock.takeForNewImage(signal));
  }

  /**
   * Ends a head that holds nothing, and removes its folder, after `first`. From the call on nobody opens or commits it: what he
   * wrote would go with it. BUSY: it is open, at work, or has changes; whatever `first` rejects with: it is as it was.
   */
  async remove(first: () => Promise<void>): Promise<void> {
    await this.turns.take(async () => {
      if (this.isDirty()) throw new LazydiskError('BUSY', `${this.record.image} has changes: revert it first.`);
      await this.use.remove(first);
    });
    await this.discard();
  }

  /** Ends a head that holds nothing and that nobody knows of, and removes its folder. */
  async discard(): Promise<void> {
    await this.close();
    await rm(this.kept.directory, { recursive: true, force: true });
  }

  /** Gives the lock up when nothing is lost by it. Nobody has the head open. */
  releaseLockIfClean(signal?: AbortSignal): Promise<void> {
    return this.turns.take(() => this.lock.giveUpIfClean(signal));
  }

  /** As `releaseLockIfClean`, while the mount goes on: BUSY when somebody has opened it meanwhile. */
  async unlock(): Promise<void> {
    await this.turns.take(async () => {
      this.use.assertClosed('unlock');
      await this.lock.giveUpIfClean(undefined);
    });
  }

  /** Nothing begins by itself any more, and the record is not being written when it resolves; what is asked for still happens. */
  stopRounds(): Promise<void> {
    this.lock.stop();
    return this.rounds.stop();
  }

  async close(): Promise<void> {
    await this.stopRounds();
    await this.turns.ended();
    await this.disk.close();
  }

  /** truncate(2) by path comes without an open: it is a write all the same. */
  private async writable(signal: AbortSignal | undefined): Promise<void> {
    if (this.record.layers.length > 0) return;
    await this.openForWriting(signal);
    this.closeForWriting();
  }

  private replace(base: SnapshotRecord | null, seenNumber: number): Promise<void> {
    return this.use.replace(() => this.stack.replace(base, seenNumber));
  }
}
