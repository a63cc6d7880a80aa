/**
 * The head of an image on this host: a disk, its record on disk, the writer's lock, and who has it open.
 *
 * A head that was never written has no files: it is its base. The first open for writing takes the lock, lists a layer, and
 * makes `head.json`; from then on that record is authoritative (head-record.ts). The base is fixed while the head is open
 * or dirty; it moves with our own commits, by revert, and, clean and closed, to what another host has published.
 */
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { randomId } from '../format/checksums.js';
import { blockCount } from '../format/geometry.js';
import type { RandomId } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { WriterLock } from '../format/writer-lock.js';
import type { Repository } from '../repository/api.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import type { Head, HeadOwner } from './api.js';
import type { BaseTree } from './base.js';
import { HeadDisk } from './head-disk.js';
import type { HeadDiskParts } from './head-disk.js';
import { writeHeadRecord } from './head-record.js';
import type { HeadRecord, ListedLayer } from './head-record.js';
import { Layer, removeUnlistedLayers } from './layer.js';

/** What a head works with. */
export interface HeadParts extends HeadDiskParts {
  readonly repository: Repository;
  /** Identity of this state directory. */
  readonly stateId: RandomId;
  readonly bootId: string;
  /** The folder that holds one folder per head. */
  readonly headsDirectory: string;
  readonly now: () => number;
}

/** How often changes are made durable without being asked, milliseconds. */
const ROUND_INTERVAL_MS = 5000;
/** More layers than this mean that commit after commit has failed. */
const MAX_LAYERS = 8;
/** Leaves of a new base that are looked up before it takes over, so that workers go on without a miss. */
const MAX_WARM_LEAVES = 64;

export class LocalHead implements Head {
  /** Set while a commit runs. */
  committing = false;
  /** Time of a disk that nobody has written and that has no base. */
  private readonly madeMs: number;
  private writing: Promise<void> = Promise.resolve();
  private opens = 0;
  private replacing = false;
  private writers = 0;
  private timer: NodeJS.Timeout | undefined;
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly parts: HeadParts,
    private current: HeadRecord,
    /** Whether head.json exists. */
    private persisted: boolean,
    readonly disk: HeadDisk,
  ) {
    this.madeMs = parts.now();
  }

  /** The head of an image that has a snapshot and was never written here. Makes no files. */
  static onSnapshot(parts: HeadParts, image: string, base: SnapshotRecord): LocalHead {
    const record: HeadRecord = {
      ...emptyRecord(parts, image, base.imageId, base.chunkSizeBytes),
      contentId: `head/${base.imageId}/${base.commitId}`,
      base,
      seenNumber: base.number,
    };
    return new LocalHead(parts, record, false, new HeadDisk(parts, parts.bases.acquire(base), []));
  }

  /** A new image, never committed, without a disk yet. Its record is durable when it resolves. */
  static async forNewImage(parts: HeadParts, image: string, imageId: RandomId, lockHeld: boolean): Promise<LocalHead> {
    const chunkSizeBytes = parts.repository.defaultChunkSizeBytes;
    const record = { ...emptyRecord(parts, image, imageId, chunkSizeBytes), lockHeld };
    const head = new LocalHead(parts, record, false, new HeadDisk(parts, parts.bases.acquire(treeOf(record)), []));
    await head.persist({});
    return head;
  }

  /** A head that has a record: opens its layers, and removes what is not listed. */
  static async load(parts: HeadParts, record: HeadRecord): Promise<LocalHead> {
    const directory = join(parts.headsDirectory, record.imageId);
    const trusted = record.bootId === parts.bootId ? 'live' : 'durable';
    const blocks = blockCount(record.base?.sizeBytes ?? 0);
    const layers: Layer[] = [];
    for (const { id } of record.layers) layers.push(await Layer.open(directory, id, blocks, trusted));
    const disk = new HeadDisk(parts, parts.bases.acquire(treeOf(record)), layers);
    const head = new LocalHead(parts, record, true, disk);
    await head.persist({ bootId: parts.bootId });
    await removeUnlistedLayers(
      directory,
      record.layers.map((layer) => layer.id),
    );
    return head;
  }

  get record(): HeadRecord {
    return this.current;
  }

  /** False in the folder of a new image before `disk.raw` is made. */
  get exists(): boolean {
    return this.current.base !== null || this.current.layers.length > 0;
  }

  get contentId(): string {
    return this.current.contentId;
  }

  get chunkSizeBytes(): number {
    return this.current.chunkSizeBytes;
  }

  get openCount(): number {
    return this.opens;
  }

  sizeBytes(): number {
    return this.disk.sizeBytes;
  }

  modifiedMs(): number {
    return this.disk.lastWriteMs() ?? this.current.base?.timeMs ?? this.madeMs;
  }

  allocatedBytes(): Promise<number> {
    return this.disk.allocatedBytes();
  }

  isDirty(): boolean {
    return this.disk.isDirty();
  }

  owner(): HeadOwner | null {
    return this.current.owner;
  }

  async setOwner(owner: HeadOwner): Promise<void> {
    await this.persist({ owner });
  }

  read(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.disk.read(offset, lengthBytes, signal);
  }

  seek(offset: number, whence: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined> {
    return this.disk.seek(offset, whence, signal);
  }

  write(offset: number, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    return this.disk.write(offset, bytes, signal);
  }

  async truncate(sizeBytes: number, signal?: AbortSignal): Promise<void> {
    await this.writable(signal);
    await this.disk.truncate(sizeBytes, signal);
  }

  punch(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<void> {
    return this.disk.punch(offset, lengthBytes, signal);
  }

  zeroRange(offset: number, lengthBytes: number, keepSize: boolean, signal?: AbortSignal): Promise<void> {
    return this.disk.zeroRange(offset, lengthBytes, keepSize, signal);
  }

  fsync(): Promise<void> {
    return this.disk.rounds.request();
  }

  expose(key: number): Promise<void> {
    this.disk.expose(key);
    return Promise.resolve();
  }

  conceal(key: number): Promise<void> {
    this.disk.conceal(key);
    return Promise.resolve();
  }

  /** STALE while the content is being replaced: who opened it then would read another one under the same name. */
  opened(): void {
    if (this.replacing) {
      throw new LazydiskError('STALE', `the disk of ${this.current.image} is being replaced: look it up again`);
    }
    this.opens++;
  }

  closed(): void {
    this.opens--;
  }

  async openForWriting(signal?: AbortSignal): Promise<void> {
    await this.inTurn(async () => {
      if (this.writers === 0) this.disk.recover();
      await this.ensureLock(signal);
      if (this.current.layers.length === 0) await this.pushLayer([]);
    });
    this.writers++;
    this.startRounds();
  }

  closeForWriting(): void {
    this.writers--;
  }

  /** A first layer on a new image: `disk.raw` has been made. */
  async makeDisk(): Promise<void> {
    await this.inTurn(async () => {
      if (this.exists) throw new LazydiskError('EXISTS', `${this.current.image} has a disk already`);
      await this.pushLayer([]);
    });
  }

  /** The freeze of a commit: a new layer takes the writes; the others carry the commit's id, durably. The pause, ms. */
  async freeze(commitId: RandomId): Promise<{ frozen: readonly Layer[]; pauseMs: number }> {
    if (this.current.layers.length >= MAX_LAYERS) {
      throw new LazydiskError(
        'CONFLICT',
        `${this.current.image} has ${this.current.layers.length} layers of failed commits; ` +
          'let one commit succeed (see its last outcome) before another is begun',
      );
    }
    return this.inTurn(async () => {
      const frozen = this.disk.openLayers;
      return { frozen, pauseMs: await this.pushLayer([commitId]) };
    });
  }

  /**
   * The base moves to a snapshot of our own; the layers that were frozen for it leave the stack, everything else stays.
   * Also for a late PUT of ours that is found afterwards.
   */
  async adopt(record: SnapshotRecord): Promise<void> {
    await this.inTurn(async () => {
      const included = (layer: ListedLayer): boolean => layer.commitIds.includes(record.commitId);
      const dropped = this.disk.openLayers.filter((_, index) => included(this.current.layers[index]!));
      const base = this.parts.bases.acquire(record);
      for (const first of this.disk.currentBase.loadedLeaves().slice(0, MAX_WARM_LEAVES)) {
        await base.loadLeaf(first).catch(() => undefined);
      }
      // Durable first: with either record the disk shows the same, so a kill in between changes nothing.
      try {
        await this.persist({
          base: record,
          seenNumber: record.number,
          layers: this.current.layers.filter((layer) => !included(layer)),
          dirtySinceMs: null,
        });
      } catch (error) {
        await this.parts.bases.release(base);
        throw error;
      }
      const old = await this.disk.switchBase(base, dropped);
      await this.disk.retire(dropped);
      await this.parts.bases.release(old);
      await this.tellLock();
    });
  }

  /** The content becomes another one: a revert, or a clean head that follows a foreign snapshot. All layers are thrown away. */
  reset(base: SnapshotRecord | null, seenNumber: number): Promise<void> {
    return this.inTurn(() => this.resetNow(base, seenNumber));
  }

  /** A record of ours that a revert has thrown away, or another writer's number that was looked at: later ones count. */
  async passOver(number: number): Promise<void> {
    await this.persist({ seenNumber: Math.max(this.current.seenNumber, number) });
  }

  /** Takes the lock of a new image. LOCKED names the holder. */
  async takeLock(signal?: AbortSignal): Promise<void> {
    await this.parts.repository.takeLock(this.current.image, this.lock(), signal);
    await this.persist({ lockHeld: true });
  }

  /** Ends a head that holds nothing, and removes its folder. */
  async discard(): Promise<void> {
    await this.close();
    await rm(join(this.parts.headsDirectory, this.current.imageId), { recursive: true, force: true });
  }

  /** Gives the lock up when nothing is lost by it: the head is clean, and a commit has published it. Nobody has it open. */
  async releaseLockIfClean(signal?: AbortSignal): Promise<void> {
    if (!this.current.lockHeld || this.isDirty() || this.current.base === null) return;
    await this.parts.repository.releaseLock(this.current.image, this.parts.stateId, signal);
    await this.persist({ lockHeld: false });
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.turn;
    await this.disk.close();
  }

  /** What this host writes into the lock. */
  lock(): WriterLock {
    const { base, imageId } = this.current;
    return {
      formatVersion: 1,
      imageId,
      stateId: this.parts.stateId,
      host: hostname(),
      pid: process.pid,
      timeMs: this.parts.now(),
      base: base === null ? null : { number: base.number, commitId: base.commitId },
    };
  }

  /** truncate(2) by path comes without an open: it is a write all the same. */
  private async writable(signal: AbortSignal | undefined): Promise<void> {
    if (this.current.layers.length > 0) return;
    await this.openForWriting(signal);
    this.closeForWriting();
  }

  /** Takes the lock unless it is held, then looks whether another host has published meanwhile. */
  private async ensureLock(signal: AbortSignal | undefined): Promise<void> {
    if (this.current.lockHeld) return;
    const { repository, stateId } = this.parts;
    const { image } = this.current;
    await repository.assertExclusivePuts(signal);
    await repository.takeLock(image, this.lock(), signal);
    const newest = (await repository.listImage(image, signal)).snapshots.at(-1);
    if (newest === undefined || newest.number <= this.current.seenNumber || this.isDirty()) {
      await this.persist({ lockHeld: true });
      return;
    }
    const record = await repository.readRecord(image, newest.number, signal);
    // No await from this question to the reset: nobody opens it in between.
    if (this.opens > 0) {
      await repository.releaseLock(image, stateId, signal);
      throw new LazydiskError(
        'BUSY',
        `${image}@${newest.number} was published by another host while this disk is open on ` +
          `@${this.current.seenNumber}: close it everywhere, then open it for writing`,
      );
    }
    await this.resetNow(record, record.number);
    await this.persist({ lockHeld: true });
    await this.tellLock();
    throw new LazydiskError('STALE', `${image} has a newer snapshot, ${newest.number}: its disk is another one now`);
  }

  /** BUSY while somebody has the disk open; whoever opens it from here on is STALE until the new content stands. */
  private async resetNow(base: SnapshotRecord | null, seenNumber: number): Promise<void> {
    if (this.opens > 0) throw new LazydiskError('BUSY', `${this.current.image} is open: close disk.raw first`);
    this.replacing = true;
    try {
      await this.replaceContent(base, seenNumber);
    } finally {
      this.replacing = false;
    }
  }

  private async replaceContent(base: SnapshotRecord | null, seenNumber: number): Promise<void> {
    const dropped = this.disk.openLayers;
    const abandoned = this.current.layers.flatMap((layer) => layer.commitIds);
    const next: HeadRecord = {
      ...this.current,
      contentId: `head/${this.current.imageId}/${randomId()}`,
      base,
      seenNumber,
      layers: [],
      dirtySinceMs: null,
      abandonedCommitIds: [...this.current.abandonedCommitIds, ...abandoned],
    };
    // Durable first: when that fails, nothing has been thrown away.
    const layer = base === null ? await this.createLayer(next) : undefined;
    await this.persist({ ...next, layers: layer === undefined ? [] : [{ id: layer.id, commitIds: [] }] });
    const old = await this.disk.switchBase(this.parts.bases.acquire(treeOf(next)), dropped);
    if (layer !== undefined) await this.disk.pushLayer(layer);
    await this.disk.retire(dropped);
    await this.parts.bases.release(old);
    await this.tellLock();
  }

  /** Lists a new layer durably, then puts it on top; the layers below carry the commit ids from then on. The pause, ms. */
  private async pushLayer(commitIds: readonly RandomId[]): Promise<number> {
    const layer = await this.createLayer(this.current);
    const below = this.current.layers.map((listed) => ({ ...listed, commitIds: [...listed.commitIds, ...commitIds] }));
    try {
      await this.persist({ layers: [...below, { id: layer.id, commitIds: [] }] });
    } catch (error) {
      layer.close();
      await layer.remove();
      throw error;
    }
    return this.disk.pushLayer(layer);
  }

  private createLayer(record: HeadRecord): Promise<Layer> {
    const directory = join(this.parts.headsDirectory, record.imageId);
    return Layer.create(directory, randomId(), blockCount(this.disk.sizeBytes));
  }

  /** Says on the lock where the head stands now; collection respects it. A store that is away is told another time. */
  private async tellLock(): Promise<void> {
    if (!this.current.lockHeld) return;
    try {
      await this.parts.repository.updateLock(this.current.image, this.lock());
    } catch (error) {
      this.parts.log.warn(`the lock of ${this.current.image} could not be updated`, { error: messageOf(error) });
    }
  }

  private startRounds(): void {
    if (this.timer !== undefined) return;
    this.timer = setInterval(() => {
      if (this.disk.isDirty() && this.current.dirtySinceMs === null) {
        this.current = { ...this.current, dirtySinceMs: this.parts.now() };
      }
      // A failed round has told the log, and every later request.
      if (this.disk.failure === undefined && this.disk.rounds.isNeeded()) this.fsync().catch(() => undefined);
    }, ROUND_INTERVAL_MS);
    this.timer.unref();
  }

  /** Changes the record on disk, then in memory: when it fails, nothing has changed. One after the other. */
  private async persist(changes: Partial<HeadRecord>): Promise<void> {
    const path = join(this.parts.headsDirectory, this.current.imageId, 'head.json');
    const written = this.writing.then(async () => {
      await writeHeadRecord(path, { ...this.current, ...changes });
      this.current = { ...this.current, ...changes };
      this.persisted = true;
    });
    this.writing = written.catch(() => undefined);
    await written;
  }

  /** Whether there is a record on disk: false for a head that is just its base. */
  get isPersisted(): boolean {
    return this.persisted;
  }

  /** One change of the record at a time. */
  private inTurn<T>(job: () => Promise<T>): Promise<T> {
    const result = this.turn.then(job);
    this.turn = result.catch(() => undefined);
    return result;
  }
}

function emptyRecord(parts: HeadParts, image: string, imageId: RandomId, chunkSizeBytes: number): HeadRecord {
  return {
    stateVersion: 1,
    image,
    imageId,
    contentId: `head/${imageId}/${randomId()}`,
    chunkSizeBytes,
    base: null,
    seenNumber: 0,
    layers: [],
    bootId: parts.bootId,
    owner: null,
    lockHeld: false,
    abandonedCommitIds: [],
    dirtySinceMs: null,
  };
}

function treeOf(record: HeadRecord): BaseTree {
  return record.base ?? { root: null, sizeBytes: 0, chunkSizeBytes: record.chunkSizeBytes, allocatedBytes: 0 };
}
