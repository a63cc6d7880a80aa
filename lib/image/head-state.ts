/**
 * What a head disk consists of at this moment, on the main thread: base, layers, size, and the words shared with workers.
 *
 * Everything that workers see goes through here: `section` is the gate, `publish` brings the plane as it is now to them.
 * Base, layers, cuts and arrays change only inside a section; the size also outside when it grows within the arrays.
 * `head-writes.ts` changes bytes and sizes, `head-disk.ts` reads and moves bases and layers.
 */
import { BLOCK_SIZE, blockCount } from '../format/geometry.js';
import type { Mirror } from '../mirror/api.js';
import type { WorkerFence } from '../mirror/worker-fence.js';
import { LazydiskError } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { Base } from './base.js';
import type { Bases } from './bases.js';
import type { DiskView } from './disk-reader.js';
import { Exposure } from './exposure.js';
import { FsyncRounds } from './fsync-rounds.js';
import { Gate } from './gate.js';
import type { Layer } from './layer.js';
import { CONTROL_STATES_CHANGED, CONTROL_WHOLE_BLOCKS, CONTROL_WORDS } from './plane.js';
import type { LayerPlane, Plane, PlaneFeed } from './plane.js';
import { planeOf } from './snapshot-disk.js';

/** What a head disk works with. */
export interface HeadDiskParts {
  readonly bases: Bases;
  readonly mirror: Mirror;
  readonly fence: WorkerFence;
  readonly feed: PlaneFeed;
  readonly log: Log;
}

export class HeadState {
  readonly rounds: FsyncRounds;
  readonly exposure: Exposure;
  private readonly control = new Uint32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  private readonly gate: Gate;
  private currentSize = 0;
  private failed: LazydiskError | undefined;
  /** A layer that holds behind this size of the disk what a failed write has left there. */
  private remains: { readonly layer: Layer; readonly sizeBytes: number } | undefined;

  /** Takes over `base` (acquired) and the open `layers`, oldest first. */
  constructor(
    readonly parts: HeadDiskParts,
    private currentBase: Base,
    private currentLayers: readonly Layer[],
  ) {
    this.gate = new Gate(this.control, parts.fence);
    this.exposure = new Exposure(parts.feed, (key) => this.plane(key));
    this.rounds = new FsyncRounds(
      this.control,
      () => this.currentLayers,
      (failure) => {
        this.fail(failure);
      },
    );
    this.setSize(sizeOf(currentBase, currentLayers));
    // An older layer may have made the disk longer than the base: workers write wherever the disk goes.
    currentLayers.at(-1)?.blocks.grow(blockCount(this.currentSize));
  }

  get base(): Base {
    return this.currentBase;
  }

  get layers(): readonly Layer[] {
    return this.currentLayers;
  }

  get sizeBytes(): number {
    return this.currentSize;
  }

  get failure(): LazydiskError | undefined {
    return this.failed;
  }

  /** Runs `change`, which must be synchronous, while no worker serves this disk. */
  section<T>(change: () => T): Promise<T> {
    return this.gate.section(change);
  }

  /** What a request sees now. IO when the head has failed. */
  view(): DiskView {
    this.assertUsable();
    return { plane: this.plane(0), base: this.currentBase, sizeBytes: this.currentSize };
  }

  plane(key: number): Plane {
    return {
      ...planeOf(key, this.control, this.currentBase, this.currentBase.tree.chunkSizeBytes),
      writable: this.currentLayers.length > 0,
      layers: this.currentLayers.map((layer) => layer.plane()),
    };
  }

  /** The layer that takes the writes, as a plane has it. */
  top(plane: Plane): LayerPlane {
    this.assertUsable();
    const top = plane.layers[plane.layers.length - 1];
    if (top === undefined) throw notWritable();
    return top;
  }

  get topLayer(): Layer {
    const top = this.currentLayers[this.currentLayers.length - 1];
    if (top === undefined) throw notWritable();
    return top;
  }

  /** Up to here a write needs no larger arrays. */
  get capacityBytes(): number {
    return this.topLayer.blocks.capacityBlocks * BLOCK_SIZE;
  }

  /** In a section: makes the arrays large enough. */
  reserve(sizeBytes: number): void {
    if (sizeBytes <= this.capacityBytes) return;
    this.topLayer.blocks.grow(blockCount(sizeBytes));
    this.publish();
  }

  /** A write beyond the end has failed: what it has left there must not be seen when the disk ends later. */
  noteRemains(): void {
    this.remains ??= { layer: this.topLayer, sizeBytes: this.currentSize };
  }

  /** In the turn in which the disk grows, before it does. Without the gate: no worker looks behind the end. */
  clearRemains(): void {
    const { remains } = this;
    if (remains !== undefined && this.currentLayers.includes(remains.layer))
      remains.layer.dropBehind(remains.sizeBytes);
    this.remains = undefined;
  }

  /** The disk ends later, within the arrays: recorded first, then seen. */
  grow(sizeBytes: number): void {
    const top = this.topLayer;
    top.setHeader({ sizeBytes, cutBlock: top.cutBlock });
    this.setSize(sizeBytes);
    this.written();
  }

  /** In a section: the disk ends earlier, and what lies below from there on is hidden for ever. */
  cut(sizeBytes: number): void {
    const top = this.topLayer;
    top.setHeader({ sizeBytes, cutBlock: Math.min(top.cutBlock, blockCount(sizeBytes)) });
    this.setSize(sizeBytes);
    this.written();
    this.publish();
  }

  /** In a section: another base, other layers. */
  restack(base: Base, layers: readonly Layer[]): void {
    this.currentBase = base;
    this.currentLayers = layers;
    this.setSize(sizeOf(base, layers));
    this.statesChanged();
    this.publish();
  }

  /** The main thread has changed bytes or states. */
  written(): void {
    this.statesChanged();
    this.rounds.touch();
  }

  /** Whether states have changed since the last call. */
  takeStatesChanged(): boolean {
    return Atomics.exchange(this.control, CONTROL_STATES_CHANGED, 0) !== 0;
  }

  /** Keeps a base's map alive until the returned function is called. */
  hold(base: Base): () => void {
    this.parts.bases.retain(base);
    return () => {
      this.parts.bases.release(base).catch((error: unknown) => {
        this.parts.log.error('a slot map could not be given up', { error: String(error) });
      });
    };
  }

  assertUsable(): void {
    if (this.failed !== undefined) throw this.failed;
  }

  /** Forgets a failure: the head is opened anew. */
  recover(): void {
    if (this.failed === undefined) return;
    this.failed = undefined;
    this.rounds.forgetFailure();
    for (const layer of this.currentLayers) layer.changeEverything();
    this.publish();
  }

  /** The head is closed: requests that still wait for something must not touch its descriptors, which others get. */
  end(): void {
    this.failed = new LazydiskError('ABORTED', 'The disk is being closed.');
    this.exposure.withdrawAll();
  }

  /** Brings the plane as it is now to the workers; a head that has failed has none until it is opened anew. */
  private publish(): void {
    if (this.failed === undefined) this.exposure.refresh();
  }

  private fail(failure: LazydiskError): void {
    this.failed = failure;
    this.parts.log.error(failure.message);
    this.exposure.withdrawAll();
  }

  private setSize(sizeBytes: number): void {
    this.currentSize = sizeBytes;
    Atomics.store(this.control, CONTROL_WHOLE_BLOCKS, Math.floor(sizeBytes / BLOCK_SIZE));
  }

  private statesChanged(): void {
    Atomics.store(this.control, CONTROL_STATES_CHANGED, 1);
  }
}

/** The newest layer that has changed the size knows it; else the base. */
export function sizeOf(base: Base, layers: readonly Layer[]): number {
  for (let index = layers.length - 1; index >= 0; index--) {
    const size = layers[index]!.sizeBytes;
    if (size !== null) return size;
  }
  return base.tree.sizeBytes;
}

function notWritable(): LazydiskError {
  return new LazydiskError('READ_ONLY', 'The disk has not been opened for writing.');
}
