/**
 * The head as a disk: layers over a base, with everything that changes under the workers' feet.
 *
 * This class knows bytes, blocks, layers and rounds; who may write, commits and reverts are the business of
 * local-image.ts, which calls `pushLayer`, `switchBase` and `reset`.
 *
 * Rules: a request is prepared asynchronously (chunks fetched and held), then applied from the start without an await
 * between check and change. Whole blocks are written without the gate, by workers and main thread alike, since a state can
 * only become `data` by it. Whatever composes a block, makes zero, changes arrays, cuts or the list of layers does so in a
 * gate section. Growing within the arrays' capacity needs no gate: no map changes.
 */
import { fstatSync } from 'node:fs';

import { BLOCK_SIZE, blockCount, MAX_IMAGE_BYTES } from '../format/geometry.js';
import type { Lease, Mirror } from '../mirror/api.js';
import type { WorkerFence } from '../mirror/worker-fence.js';
import { throwIfAborted } from '../util/abort.js';
import { errnoOf, LazydiskError } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { countAllocated, seekExtent } from './allocation.js';
import type { Base, Bases } from './base.js';
import { foreignEdges, writeComposed } from './compose.js';
import { baseChunks, readDisk } from './disk-reader.js';
import type { DiskView } from './disk-reader.js';
import { Exposure } from './exposure.js';
import { FsyncRounds } from './fsync-rounds.js';
import { Gate } from './gate.js';
import type { Layer } from './layer.js';
import { CONTROL_STATES_CHANGED, CONTROL_WHOLE_BLOCKS, CONTROL_WORDS } from './plane.js';
import type { Plane, PlaneFeed } from './plane.js';
import { isFromBase, isFromLayer, writeHere } from './serve.js';
import { planeOf } from './snapshot-disk.js';
import { zeroStretches } from './zeroing.js';

/** What a head disk works with. */
export interface HeadDiskParts {
  readonly bases: Bases;
  readonly mirror: Mirror;
  readonly fence: WorkerFence;
  readonly feed: PlaneFeed;
  readonly log: Log;
}

/** How much the mirror is asked to free at once when the disk is full: enough for a while of writing. */
const ROOM_BYTES = 64 * 1024 * 1024;

export class HeadDisk {
  readonly rounds: FsyncRounds;
  private readonly control = new Uint32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  private readonly gate: Gate;
  private readonly exposure: Exposure;
  private size = 0;
  private failed: LazydiskError | undefined;
  private allocated: Promise<number> | undefined;

  /** Takes over `base` (acquired) and the open `layers`, oldest first. */
  constructor(
    private readonly parts: HeadDiskParts,
    private base: Base,
    private layers: readonly Layer[],
  ) {
    this.gate = new Gate(this.control, parts.fence);
    this.exposure = new Exposure(parts.feed, (key) => this.plane(key));
    this.rounds = new FsyncRounds(
      this.control,
      () => this.layers,
      (failure) => {
        this.fail(failure);
      },
    );
    this.setSize(sizeOf(base, layers));
  }

  get sizeBytes(): number {
    return this.size;
  }

  get openLayers(): readonly Layer[] {
    return this.layers;
  }

  get currentBase(): Base {
    return this.base;
  }

  /** Why every request fails, or undefined. */
  get failure(): LazydiskError | undefined {
    return this.failed;
  }

  /** Whether anything differs from the base. */
  isDirty(): boolean {
    return this.layers.some((layer) => !layer.isEmpty());
  }

  /** Time of the last write, milliseconds since 1970; undefined when nothing has been written. */
  lastWriteMs(): number | undefined {
    const times = this.layers
      .filter((layer) => !layer.isEmpty())
      .map((layer) => fstatSync(layer.dataDescriptor).mtimeMs);
    return times.length === 0 ? undefined : Math.max(...times);
  }

  /** Bytes that the data files occupy on the local disk. */
  layerAllocatedBytes(): number {
    return this.layers.reduce((sum, layer) => sum + fstatSync(layer.dataDescriptor).blocks * 512, 0);
  }

  /** Bytes of blocks that hold local data. */
  dirtyBytes(): number {
    return this.layers.reduce((sum, layer) => sum + layer.countData() * BLOCK_SIZE, 0);
  }

  expose(key: number): void {
    this.exposure.expose(key);
    if (this.failed !== undefined) this.exposure.withdrawAll();
  }

  conceal(key: number): void {
    this.exposure.conceal(key);
  }

  async read(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<Buffer> {
    return readDisk(
      () => this.view(),
      (base) => this.hold(base),
      offset,
      lengthBytes,
      signal,
    );
  }

  seek(offset: number, whence: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined> {
    this.assertUsable();
    return this.withBase((base) =>
      seekExtent({ base, layers: this.layers, sizeBytes: this.size }, offset, whence, signal),
    );
  }

  allocatedBytes(): Promise<number> {
    if (Atomics.exchange(this.control, CONTROL_STATES_CHANGED, 0) !== 0) this.allocated = undefined;
    this.allocated ??= this.withBase((base) => countAllocated({ base, layers: this.layers, sizeBytes: this.size }));
    const counting = this.allocated;
    counting.catch(() => {
      if (this.allocated === counting) this.allocated = undefined;
    });
    return counting;
  }

  async write(offset: number, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (bytes.length === 0) return;
    assertWithinLimit(offset + bytes.length);
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    await this.withRoom(async () => {
      const plane = this.plane(0);
      const top = this.top(plane);
      const end = offset + bytes.length;
      if (end <= this.capacityBytes() && foreignEdges(top, offset, bytes.length).length === 0) {
        writeHere(plane, top, buffer, 0, offset, bytes.length);
        if (end > this.size) this.grow(end);
        return;
      }
      await this.prepared(offset, end, signal, (lease) => {
        this.reserve(end);
        const now = this.plane(0);
        const done = writeComposed(now, this.top(now), offset, buffer, (chunk) => lease.transient(chunk));
        if (done && end > this.size) this.grow(end);
        return done;
      });
    });
  }

  async truncate(sizeBytes: number, signal?: AbortSignal): Promise<void> {
    assertWithinLimit(sizeBytes);
    await this.withRoom(async () => {
      if (sizeBytes > this.size) {
        await this.gate.section(() => {
          this.reserve(sizeBytes);
          this.grow(sizeBytes);
        });
      } else if (sizeBytes < this.size) {
        await this.prepared(sizeBytes, sizeBytes, signal, (lease) => this.shrink(sizeBytes, lease));
      }
    });
  }

  /** Zeros, never beyond the end, never changing the size. */
  async punch(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<void> {
    await this.withRoom(async () => {
      const end = Math.min(offset + lengthBytes, this.size);
      if (offset >= end) return;
      await this.prepared(offset, end, signal, (lease) => this.zero(offset, Math.min(end, this.size), lease));
    });
  }

  async zeroRange(offset: number, lengthBytes: number, keepSize: boolean, signal?: AbortSignal): Promise<void> {
    const end = offset + lengthBytes;
    if (!keepSize && end > this.size) await this.truncate(end, signal);
    await this.punch(offset, lengthBytes, signal);
  }

  /** Puts a new empty layer on top: the freeze of a commit, or the first open for writing. Resolves to the pause, ms. */
  async pushLayer(layer: Layer): Promise<number> {
    const start = performance.now();
    await this.gate.section(() => {
      layer.grow(blockCount(this.size));
      this.layers = [...this.layers, layer];
      this.exposure.refresh();
    });
    return performance.now() - start;
  }

  /**
   * The base moves and layers leave the stack, in one turn: what was in them is in the new base. Resolves to the old base
   * for the caller to release. The layers' files stay open; `retire` closes and removes them.
   */
  async switchBase(base: Base, dropped: readonly Layer[]): Promise<Base> {
    return this.gate.section(() => {
      const old = this.base;
      this.base = base;
      this.layers = this.layers.filter((layer) => !dropped.includes(layer));
      this.setSize(sizeOf(base, this.layers));
      this.statesChanged();
      this.exposure.refresh();
      return old;
    });
  }

  /** Closes layers that have left the stack, once no round uses them, and removes their files. */
  async retire(layers: readonly Layer[]): Promise<void> {
    await this.rounds.exclusive(async () => {
      for (const layer of layers) {
        layer.close();
        await layer.remove();
      }
    });
  }

  /** A view of older layers over the base at the size they had: what a commit composes. */
  frozenView(layers: readonly Layer[]): DiskView {
    const sizeBytes = sizeOf(this.base, layers);
    return { plane: { ...this.plane(0), layers: layers.map((layer) => layer.plane()) }, base: this.base, sizeBytes };
  }

  /** Forgets a failure: the head is opened anew. */
  recover(): void {
    if (this.failed === undefined) return;
    this.failed = undefined;
    this.rounds.forgetFailure();
    for (const layer of this.layers) layer.changeEverything();
    this.exposure.refresh();
  }

  /** Ends: no thread may know it any more. Nothing is synced here. */
  async close(): Promise<void> {
    this.exposure.withdrawAll();
    await this.gate.section(() => undefined);
    await this.rounds.exclusive(() => {
      for (const layer of this.layers) layer.close();
      return Promise.resolve();
    });
    this.layers = [];
    await this.parts.bases.release(this.base);
  }

  private view(): DiskView {
    this.assertUsable();
    return { plane: this.plane(0), base: this.base, sizeBytes: this.size };
  }

  private plane(key: number): Plane {
    return {
      ...planeOf(key, this.control, this.base, this.base.tree.chunkSizeBytes),
      writable: this.layers.length > 0,
      layers: this.layers.map((layer) => layer.plane()),
    };
  }

  private top(plane: Plane): Plane['layers'][number] {
    this.assertUsable();
    const top = plane.layers[plane.layers.length - 1];
    if (top === undefined) throw new LazydiskError('READ_ONLY', 'the disk has not been opened for writing');
    return top;
  }

  private topLayer(): Layer {
    const top = this.layers[this.layers.length - 1];
    if (top === undefined) throw new LazydiskError('READ_ONLY', 'the disk has not been opened for writing');
    return top;
  }

  /**
   * Fetches what the edges of a range need, then applies the change in a gate section; again when the base moved or a chunk
   * is not here after all.
   */
  private async prepared(
    offset: number,
    end: number,
    signal: AbortSignal | undefined,
    apply: (lease: Lease) => boolean,
  ): Promise<void> {
    for (;;) {
      this.assertUsable();
      const base = this.base;
      const letGo = this.hold(base);
      try {
        const lease = await base.ensure(this.edgeChunks(offset, end), signal);
        try {
          if (await this.gate.section(() => this.base === base && apply(lease))) return;
        } finally {
          lease.release();
        }
      } finally {
        letGo();
      }
      throwIfAborted(signal);
    }
  }

  /** The chunks from which the blocks at either end of a range would be composed. */
  private edgeChunks(offset: number, end: number): number[] {
    const plane = this.plane(0);
    const top = this.top(plane);
    const edges = end > offset ? foreignEdges(top, offset, end - offset) : tailBlock(offset);
    return edges.flatMap((block) => baseChunks(plane, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE));
  }

  /** Behind the gate. False when a chunk is missing. */
  private shrink(sizeBytes: number, lease: Lease): boolean {
    const end = Math.min(this.size, Math.ceil(sizeBytes / BLOCK_SIZE) * BLOCK_SIZE);
    if (end > sizeBytes && !this.zeroPart(sizeBytes, end, lease)) return false;
    const cutBlock = blockCount(sizeBytes);
    const top = this.topLayer();
    top.forEachTouchedGroup((first, end) => {
      if (end > cutBlock) top.zeroBlocks(Math.max(first, cutBlock), end - 1);
    });
    top.setHeader({ sizeBytes, cutBlock: Math.min(top.cutBlock, cutBlock) });
    this.setSize(sizeBytes);
    this.written();
    this.exposure.refresh();
    return true;
  }

  /** Behind the gate. Makes [offset, end) zero. False, with nothing changed that shows, when a chunk is missing. */
  private zero(offset: number, end: number, lease: Lease): boolean {
    const first = Math.ceil(offset / BLOCK_SIZE);
    // A block that ends the disk counts as whole: there is nothing behind it.
    const last = (end === this.size ? blockCount(end) : Math.floor(end / BLOCK_SIZE)) - 1;
    if (first > last + 1) return this.zeroPart(offset, end, lease);
    if (offset < first * BLOCK_SIZE && !this.zeroPart(offset, Math.min(end, first * BLOCK_SIZE), lease)) return false;
    if (end > (last + 1) * BLOCK_SIZE && !this.zeroPart((last + 1) * BLOCK_SIZE, end, lease)) return false;
    const top = this.topLayer();
    for (const [from, to] of zeroStretches(this.layers, this.base, first, last)) top.zeroBlocks(from, to);
    this.written();
    return true;
  }

  /** Behind the gate. Zeros a part of one block. */
  private zeroPart(offset: number, end: number, lease: Lease): boolean {
    const plane = this.plane(0);
    const block = Math.floor(offset / BLOCK_SIZE);
    const isBelow = isFromBase(plane.layers, block);
    const isZero = isBelow && this.base.isKnownZero(Math.floor(offset / plane.chunkSizeBytes));
    if (isZero || !(isBelow || isFromLayer(plane.layers, block))) return true;
    return writeComposed(plane, this.top(plane), offset, Buffer.alloc(end - offset), (chunk) => lease.transient(chunk));
  }

  private capacityBytes(): number {
    return this.topLayer().capacityBlocks * BLOCK_SIZE;
  }

  /** Behind the gate: makes the arrays large enough. */
  private reserve(sizeBytes: number): void {
    if (sizeBytes <= this.capacityBytes()) return;
    this.topLayer().grow(blockCount(sizeBytes));
    this.exposure.refresh();
  }

  /** The disk ends later: recorded first, then seen. */
  private grow(sizeBytes: number): void {
    const top = this.topLayer();
    top.setHeader({ sizeBytes, cutBlock: top.cutBlock });
    this.setSize(sizeBytes);
    this.written();
  }

  private setSize(sizeBytes: number): void {
    this.size = sizeBytes;
    Atomics.store(this.control, CONTROL_WHOLE_BLOCKS, Math.floor(sizeBytes / BLOCK_SIZE));
  }

  private written(): void {
    this.statesChanged();
    this.rounds.touch();
  }

  private statesChanged(): void {
    this.allocated = undefined;
  }

  private assertUsable(): void {
    if (this.failed !== undefined) throw this.failed;
  }

  private fail(failure: LazydiskError): void {
    this.failed = failure;
    this.parts.log.error(failure.message);
    this.exposure.withdrawAll();
  }

  /** Runs `job`; a full disk makes the mirror give way, then it runs once more. */
  private async withRoom(job: () => Promise<void>): Promise<void> {
    try {
      await job();
    } catch (error) {
      if (errnoOf(error) !== 'ENOSPC' && errnoOf(error) !== 'EDQUOT') throw error;
      if ((await this.parts.mirror.giveWay(ROOM_BYTES)) === 0) throw diskFull(error);
      try {
        await job();
      } catch (again) {
        throw errnoOf(again) === 'ENOSPC' || errnoOf(again) === 'EDQUOT' ? diskFull(again) : again;
      }
    }
  }

  private hold(base: Base): () => void {
    this.parts.bases.retain(base);
    return () => {
      this.parts.bases.release(base).catch((error: unknown) => {
        this.parts.log.error('a slot map could not be given up', { error: String(error) });
      });
    };
  }

  private async withBase<T>(use: (base: Base) => Promise<T>): Promise<T> {
    const base = this.base;
    const letGo = this.hold(base);
    try {
      return await use(base);
    } finally {
      letGo();
    }
  }
}

/** The newest layer that has changed the size knows it; else the base. */
function sizeOf(base: Base, layers: readonly Layer[]): number {
  for (let index = layers.length - 1; index >= 0; index--) {
    const size = layers[index]!.sizeBytes;
    if (size !== null) return size;
  }
  return base.tree.sizeBytes;
}

function tailBlock(sizeBytes: number): number[] {
  return sizeBytes % BLOCK_SIZE === 0 ? [] : [Math.floor(sizeBytes / BLOCK_SIZE)];
}

function assertWithinLimit(end: number): void {
  if (end > MAX_IMAGE_BYTES) {
    throw new LazydiskError('TOO_LARGE', `an image can have at most 8 TiB; this would make it ${end} bytes long`);
  }
}

function diskFull(cause: unknown): LazydiskError {
  return new LazydiskError('NO_SPACE', 'the local disk is full: make room in the state directory', { cause });
}
