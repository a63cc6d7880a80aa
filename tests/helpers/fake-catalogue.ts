/**
 * A catalogue of plain buffers: honest about every promise of lib/image/api.ts that the tree relies on, with nothing
 * behind it. Tests reach behind it with the methods that a real catalogue does not have (`publish`, `holdLock`, `stall`).
 */
import { randomBytes } from 'node:crypto';
import type {
  Opening,
  Catalogue,
  CloneOptions,
  CloneOutcome,
  CommitOutcome,
  Disk,
  Head,
  HeadOwner,
  HeadUsage,
  HydrateOutcome,
  Health,
  Image,
  ImageCommitOptions,
  ImageStatus,
  SnapshotInfo,
} from '../../lib/image/api.js';
import type { BootProfile } from '../../lib/format/profile.js';
import { LazydiskError } from '../../lib/util/errors.js';

const BLOCK = 4096;
const CHUNK_SIZE = 256 * 1024;

/** Whether and how often something was asked; tests read it. */
export interface FakeCounts {
  finds: number;
  exposed: Map<number, number>;
}

interface Snapshot {
  readonly info: SnapshotInfo;
  readonly bytes: Buffer;
}

export class FakeCatalogue implements Catalogue {
  lookAhead(): Promise<void> {
    return Promise.resolve();
  }

  readonly images = new Map<string, FakeImage>();
  readonly counts: FakeCounts = { finds: 0, exposed: new Map() };
  /** The time of everything that happens, moved on by one at each event. */
  timeMs = 1_700_000_000_000;
  currentHealth: Health = 'ok';
  /** Names that can't be looked up now. */
  readonly unreachable = new Set<string>();
  /** While set, commits wait for it. */
  stalled: Promise<void> | undefined;

  constructor(readonly readOnly = false) {}

  readonly health = (): Health => this.currentHealth;

  doubtStore(): void {
    this.currentHealth = 'offline';
  }

  tick(): number {
    return ++this.timeMs;
  }

  names(): Promise<readonly string[]> {
    return Promise.resolve([...this.images.keys()].sort());
  }

  held(): readonly FakeImage[] {
    return [...this.images.values()].filter(({ currentHead }) => currentHead !== undefined);
  }

  async find(name: string): Promise<FakeImage | undefined> {
    this.counts.finds++;
    if (this.unreachable.has(name)) throw new LazydiskError('UNREACHABLE', 'The store does not answer.');
    return this.images.get(name);
  }

  async create(name: string): Promise<FakeImage> {
    if (this.readOnly) throw new LazydiskError('READ_ONLY', 'This mount is read-only.');
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)) throw new LazydiskError('USAGE', `${name} is no image name.`);
    if (this.images.has(name)) throw new LazydiskError('EXISTS', `${name} is there already.`);
    const image = new FakeImage(this, name);
    this.images.set(name, image);
    return image;
  }

  async remove(name: string): Promise<void> {
    const image = this.images.get(name);
    if (image === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`);
    if (image.published.size > 0) throw new LazydiskError('CONFLICT', `${name} has snapshots.`);
    if ((image.currentHead?.openCount ?? 0) > 0) throw new LazydiskError('BUSY', `${name} is open.`);
    this.images.delete(name);
  }

  async clone(name: string, newName: string, options: CloneOptions): Promise<CloneOutcome> {
    const source = this.images.get(name);
    if (source === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`);
    if (this.images.has(newName)) throw new LazydiskError('EXISTS', `${newName} is there already.`);
    if (options.commit === true) await source.commit({});
    else if (options.number === undefined && source.currentHead?.isDirty() === true) {
      throw new LazydiskError('CONFLICT', `${name} has uncommitted changes.`);
    }
    const number = options.number ?? source.newest();
    const snapshot = number === undefined ? undefined : source.published.get(number);
    if (number === undefined || snapshot === undefined) {
      throw new LazydiskError('NOT_FOUND', `There is no such snapshot of ${name}.`);
    }
    const made = this.image(newName);
    if (options.local === true) made.currentHead = new FakeHead(made, snapshot.bytes, null);
    else made.publish(snapshot.bytes);
    return { image: newName, number: options.local === true ? null : 1, source: { image: name, number } };
  }

  async unlock(name: string): Promise<void> {
    const image = this.images.get(name);
    if (image === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`);
    if (image.lockedBy === 'other') throw new LazydiskError('LOCKED', `${name} is locked by another host.`);
    if ((image.currentHead?.openCount ?? 0) > 0) throw new LazydiskError('BUSY', `${name} is open.`);
    if (image.currentHead?.isDirty() === true) throw new LazydiskError('CONFLICT', `${name} has uncommitted changes.`);
    image.lockedBy = 'nobody';
  }

  async close(): Promise<void> {
    for (const image of this.images.values()) image.lockedBy = 'nobody';
  }

  /** For tests: an image, made without a lock when it is not there. */
  image(name: string): FakeImage {
    const known = this.images.get(name);
    if (known !== undefined) return known;
    const image = new FakeImage(this, name);
    image.lockedBy = 'nobody';
    this.images.set(name, image);
    return image;
  }
}

export class FakeImage implements Image {
  bootProfile: BootProfile | null = null;
  readonly id = randomBytes(16).toString('hex');
  readonly tagNumbers = new Map<string, number>();
  readonly published = new Map<number, Snapshot>();
  currentHead: FakeHead | undefined;
  lockedBy: 'us' | 'other' | 'nobody' = 'us';
  committing = false;

  constructor(
    readonly catalogue: FakeCatalogue,
    readonly name: string,
  ) {}

  newest(): number | undefined {
    return [...this.published.keys()].sort((a, b) => a - b).at(-1);
  }

  async snapshots(): Promise<readonly number[]> {
    return [...this.published.keys()].sort((a, b) => a - b);
  }

  async tags(): Promise<readonly string[]> {
    return [...this.tagNumbers.keys()].sort();
  }

  async tagged(tag: string): Promise<number> {
    const number = this.tagNumbers.get(tag);
    if (number === undefined) throw new LazydiskError('NOT_FOUND', `${this.name} has no tag ${tag}.`);
    return number;
  }

  async snapshotInfo(number: number): Promise<SnapshotInfo> {
    return this.#published(number).info;
  }

  async snapshot(number: number): Promise<Disk> {
    const { info, bytes } = this.#published(number);
    return new FakeDisk(this.catalogue, `${this.id}@${info.commitId}`, bytes, info.timeMs);
  }

  async head(): Promise<FakeHead | undefined> {
    if (this.catalogue.readOnly) return undefined;
    const newest = this.newest();
    if (this.currentHead === undefined && newest !== undefined) {
      this.currentHead = new FakeHead(this, this.#published(newest).bytes, newest);
    }
    return this.currentHead;
  }

  async createHead(): Promise<FakeHead> {
    if ((await this.head()) !== undefined) throw new LazydiskError('EXISTS', `${this.name} has a head.`);
    this.currentHead = new FakeHead(this, Buffer.alloc(0), null);
    return this.currentHead;
  }

  async commit(options: ImageCommitOptions): Promise<CommitOutcome> {
    const head = await this.head();
    if (head === undefined) throw new LazydiskError('CONFLICT', `${this.name} has nothing to commit.`);
    if (this.committing) throw new LazydiskError('BUSY', `A commit of ${this.name} is running.`);
    this.committing = true;
    try {
      const frozen = Buffer.from(head.bytes);
      const changed = head.isDirty() || head.base === null;
      if (options.as === undefined) head.dirty = false;
      if (changed) options.onCut?.({ pauseMs: 0 });
      await this.catalogue.stalled;
      const target = options.as === undefined ? this : this.catalogue.image(options.as);
      const number = changed || target !== this ? target.publish(frozen, options.label) : head.base!;
      if (target === this) head.base = number;
      const { commitId } = target.published.get(number)!.info;
      return {
        image: target.name,
        number,
        changed,
        commitId,
        dirtyBytes: frozen.length,
        uploadedBytes: frozen.length,
        pauseMs: 0,
        durationMs: 1,
      };
    } finally {
      this.committing = false;
    }
  }

  async revert(number?: number): Promise<void> {
    const head = await this.head();
    if (head === undefined) throw new LazydiskError('CONFLICT', `${this.name} has no head.`);
    if (head.openCount > 0 || this.committing) throw new LazydiskError('BUSY', `${this.name} is open.`);
    const base = number ?? head.base;
    this.currentHead = new FakeHead(this, base === null ? Buffer.alloc(0) : this.#published(base).bytes, base);
  }

  hydrate(number?: number): Promise<HydrateOutcome> {
    const bytes = number === undefined ? CHUNK_SIZE : this.#published(number).bytes.length;
    return Promise.resolve({ image: this.name, localBytes: bytes, fetchedBytes: bytes, durationMs: 1 });
  }

  profile(): Promise<BootProfile | null> {
    return Promise.resolve(this.bootProfile);
  }

  recordProfile(): Promise<BootProfile> {
    this.bootProfile = {
      formatVersion: 1,
      imageId: this.id,
      timeMs: this.catalogue.tick(),
      boots: 1,
      ranges: [{ offsetBytes: 0, lengthBytes: 2 * CHUNK_SIZE, unusedBoots: 0 }],
    };
    return Promise.resolve(this.bootProfile);
  }

  dropProfile(): Promise<void> {
    this.bootProfile = null;
    return Promise.resolve();
  }

  usage(): HeadUsage | undefined {
    return this.currentHead && this.#usageOf(this.currentHead);
  }

  async status(): Promise<ImageStatus> {
    const head = await this.head();
    return {
      image: this.name,
      imageId: this.id,
      ...this.#usageOf(head),
      baseNumber: head?.base ?? null,
      localCloneOf: null,
      health: this.catalogue.currentHealth,
      needsStore: false,
      fill: 'off',
      profile: null,
      hydrating: null,
      lock: null,
      lockIsOurs: this.lockedBy === 'us',
    };
  }

  #usageOf(head: FakeHead | undefined): HeadUsage {
    return {
      sizeBytes: head?.sizeBytes() ?? 0,
      localBytes: 0,
      missingBytes: 0,
      dirtyBytes: head?.isDirty() === true ? head.bytes.length : 0,
      layerAllocatedBytes: head?.isDirty() === true ? head.bytes.length : 0,
      layers: 1,
      oldestUncommittedMs: head?.isDirty() === true ? head.modifiedMs() : null,
      openCount: head?.openCount ?? 0,
      committing: this.committing,
      failure: null,
    };
  }

  /** For tests: another host publishes a snapshot. Resolves to its number. */
  publish(bytes: Buffer, label = ''): number {
    const number = (this.newest() ?? 0) + 1;
    const info: SnapshotInfo = {
      number,
      sizeBytes: bytes.length,
      allocatedBytes: Math.ceil(bytes.length / CHUNK_SIZE) * CHUNK_SIZE,
      timeMs: this.catalogue.tick(),
      label,
      commitId: randomBytes(16).toString('hex'),
    };
    this.published.set(number, { info, bytes: Buffer.from(bytes) });
    return number;
  }

  #published(number: number): Snapshot {
    const snapshot = this.published.get(number);
    if (snapshot === undefined) throw new LazydiskError('NOT_FOUND', `There is no ${this.name}@${number}.`);
    return snapshot;
  }
}

export class FakeDisk implements Disk {
  readonly chunkSizeBytes = CHUNK_SIZE;

  constructor(
    readonly catalogue: FakeCatalogue,
    public contentId: string,
    public bytes: Buffer,
    protected writtenMs: number,
  ) {}

  sizeBytes(): number {
    return this.bytes.length;
  }

  modifiedMs(): number {
    return this.writtenMs;
  }

  async allocatedBytes(): Promise<number> {
    let blocks = 0;
    for (let offset = 0; offset < this.bytes.length; offset += BLOCK) if (this.isData(offset)) blocks++;
    return blocks * BLOCK;
  }

  async read(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (signal?.aborted === true) throw new LazydiskError('ABORTED', 'The caller went away.');
    return Buffer.from(this.bytes.subarray(offset, offset + lengthBytes));
  }

  async seek(offset: number, whence: 'data' | 'hole'): Promise<number | undefined> {
    for (let at = offset; at < this.bytes.length; at = (Math.floor(at / BLOCK) + 1) * BLOCK) {
      if (this.isData(at - (at % BLOCK)) === (whence === 'data')) return at;
    }
    return undefined;
  }

  async expose(key: number): Promise<void> {
    this.catalogue.counts.exposed.set(key, (this.catalogue.counts.exposed.get(key) ?? 0) + 1);
  }

  async conceal(key: number): Promise<void> {
    const left = (this.catalogue.counts.exposed.get(key) ?? 0) - 1;
    if (left < 0) throw new Error(`conceal of ${key} without expose`);
    if (left === 0) this.catalogue.counts.exposed.delete(key);
    else this.catalogue.counts.exposed.set(key, left);
  }

  protected isData(blockOffset: number): boolean {
    return this.bytes.subarray(blockOffset, blockOffset + BLOCK).some((byte) => byte !== 0);
  }
}

export class FakeHead extends FakeDisk implements Head {
  /** Each open, in order. */
  readonly openings: Opening[] = [];
  openCount = 0;
  writers = 0;
  dirty = false;
  syncs = 0;
  kept: HeadOwner | null = null;

  constructor(
    readonly image: FakeImage,
    bytes: Buffer,
    public base: number | null,
  ) {
    super(image.catalogue, randomBytes(8).toString('hex'), Buffer.from(bytes), image.catalogue.tick());
  }

  owner(): HeadOwner | null {
    return this.kept;
  }

  async setOwner(owner: HeadOwner): Promise<void> {
    this.kept = owner;
  }

  async openForWriting(): Promise<void> {
    if (this.image.lockedBy === 'other')
      throw new LazydiskError('LOCKED', `${this.image.name} is locked by another host.`);
    this.image.lockedBy = 'us';
    const newest = this.image.newest();
    if (newest !== undefined && newest !== this.base && !this.dirty && this.writers === 0) {
      this.image.currentHead = new FakeHead(this.image, this.image.published.get(newest)!.bytes, newest);
      throw new LazydiskError('STALE', `${this.image.name} has moved to @${newest}.`);
    }
    this.writers++;
  }

  closeForWriting(): void {
    if (--this.writers < 0) throw new Error('closeForWriting without openForWriting');
  }

  opened(opening: Opening = 'new'): void {
    this.openings.push(opening);
    this.openCount++;
  }

  closed(): void {
    if (--this.openCount < 0) throw new Error('closed without opened');
  }

  async write(offset: number, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) throw new LazydiskError('ABORTED', 'The caller went away.');
    this.#assertOpen();
    this.#grow(offset + bytes.length);
    this.bytes.set(bytes, offset);
    this.#touch();
  }

  async truncate(sizeBytes: number): Promise<void> {
    this.#assertOpen();
    if (sizeBytes > this.bytes.length) this.#grow(sizeBytes);
    else this.bytes = Buffer.from(this.bytes.subarray(0, sizeBytes));
    this.#touch();
  }

  async extend(sizeBytes: number): Promise<void> {
    this.#assertOpen();
    if (sizeBytes > this.bytes.length) this.#grow(sizeBytes);
  }

  async punch(offset: number, lengthBytes: number): Promise<void> {
    this.#assertOpen();
    this.bytes.fill(0, Math.min(offset, this.bytes.length), Math.min(offset + lengthBytes, this.bytes.length));
    this.#touch();
  }

  async zeroRange(offset: number, lengthBytes: number, keepSize: boolean): Promise<void> {
    if (!keepSize) this.#grow(offset + lengthBytes);
    await this.punch(offset, lengthBytes);
  }

  async fsync(): Promise<void> {
    this.syncs++;
  }

  isDirty(): boolean {
    return this.dirty;
  }

  #assertOpen(): void {
    if (this.writers === 0) throw new Error('a change of a head that nobody has open for writing');
  }

  #grow(sizeBytes: number): void {
    if (sizeBytes <= this.bytes.length) return;
    this.bytes = Buffer.concat([this.bytes, Buffer.alloc(sizeBytes - this.bytes.length)]);
  }

  #touch(): void {
    this.dirty = true;
    this.writtenMs = this.catalogue.tick();
  }
}
