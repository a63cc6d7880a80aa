/**
 * The head as a disk: layers over a base. It reads, and moves bases and layers; bytes and sizes change in head-writes.ts.
 *
 * Who may write, commits and reverts are the business of head.ts, which calls `pushLayer`, `switchBase` and `retire`.
 */
import { fstatSync } from 'node:fs';

import { BLOCK_SIZE, blockCount } from '../format/geometry.js';
import type { LazydiskError } from '../util/errors.js';
import { countAllocated, seekExtent } from './allocation.js';
import type { Extents } from './allocation.js';
import type { Base } from './base.js';
import { readDisk } from './disk-reader.js';
import type { DiskView } from './disk-reader.js';
import type { FsyncRounds } from './fsync-rounds.js';
import { HeadState, sizeOf } from './head-state.js';
import type { HeadDiskParts } from './head-state.js';
import { HeadWrites } from './head-writes.js';
import { LayerRemoval } from './layer-removal.js';
import type { LayerFiles } from './layer-files.js';
import type { Layer } from './layer.js';
import { DATA } from './plane.js';

/** How long the end of a disk waits for files that nobody needs; most are gone then. The next open removes the rest. */
const REMOVAL_PATIENCE_MS = 1000;

export class HeadDisk {
  readonly writes: HeadWrites;
  private readonly state: HeadState;
  private allocated: Promise<number> | undefined;
  private readonly removal: LayerRemoval;

  /** Takes over `base` (acquired) and the open `layers`, oldest first. */
  constructor(
    private readonly parts: HeadDiskParts,
    base: Base,
    layers: readonly Layer[],
  ) {
    this.state = new HeadState(parts, base, layers);
    this.removal = new LayerRemoval(parts.log);
    this.writes = new HeadWrites(this.state);
  }

  get rounds(): FsyncRounds {
    return this.state.rounds;
  }

  get sizeBytes(): number {
    return this.state.sizeBytes;
  }

  get openLayers(): readonly Layer[] {
    return this.state.layers;
  }

  get currentBase(): Base {
    return this.state.base;
  }

  /** Why every request fails, or undefined. */
  get failure(): LazydiskError | undefined {
    return this.state.failure;
  }

  /** Whether anything differs from the base. */
  isDirty(): boolean {
    return this.openLayers.some((layer) => !layer.isEmpty());
  }

  /** Time of the last write, milliseconds since 1970; undefined when nothing has been written. */
  lastWriteMs(): number | undefined {
    const written = this.openLayers.filter((layer) => !layer.isEmpty());
    const times = written.map((layer) => fstatSync(layer.dataDescriptor).mtimeMs);
    return times.length === 0 ? undefined : Math.max(...times);
  }

  /** Bytes that the data files occupy on the local disk. */
  layerAllocatedBytes(): number {
    return this.openLayers.reduce((sum, layer) => sum + fstatSync(layer.dataDescriptor).blocks * 512, 0);
  }

  /** Bytes of blocks that hold local data. */
  dirtyBytes(): number {
    return this.openLayers.reduce((sum, layer) => sum + layer.blocks.count(DATA) * BLOCK_SIZE, 0);
  }

  expose(key: number): void {
    this.state.exposure.expose(key);
    if (this.failure !== undefined) this.state.exposure.withdrawAll();
  }

  conceal(key: number): void {
    this.state.exposure.conceal(key);
  }

  async read(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<Buffer> {
    const { state } = this;
    return readDisk(
      () => state.view(),
      (base) => state.hold(base),
      offset,
      lengthBytes,
      signal,
    );
  }

  async seek(offset: number, whence: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined> {
    this.state.assertUsable();
    return this.onExtents((extents) => seekExtent(extents, offset, whence, signal));
  }

  /** Counted anew only when states have changed. */
  allocatedBytes(): Promise<number> {
    if (this.state.takeStatesChanged()) this.allocated = undefined;
    this.allocated ??= this.onExtents(countAllocated);
    const counting = this.allocated;
    counting.catch(() => {
      if (this.allocated === counting) this.allocated = undefined;
    });
    return counting;
  }

  /** Puts a new empty layer on top: the freeze of a commit, or the first open for writing. Resolves to the pause, ms. */
  async pushLayer(layer: Layer): Promise<number> {
    const { state } = this;
    const start = performance.now();
    await state.section(() => {
      layer.blocks.grow(blockCount(state.sizeBytes));
      state.restack(state.base, [...state.layers, layer]);
    });
    return performance.now() - start;
  }

  /**
   * The base moves and layers leave the stack, in one turn: what was in them is in the new base. Resolves to the old base
   * for the caller to release. The layers' files stay open; `retire` closes and removes them.
   */
  async switchBase(base: Base, dropped: readonly Layer[]): Promise<Base> {
    const { state } = this;
    return state.section(() => {
      const old = state.base;
      const kept = state.layers.filter((layer) => !dropped.includes(layer));
      state.restack(base, kept);
      return old;
    });
  }

  /**
   * Closes layers that have left the stack, once no round uses them. Their files go afterwards: nobody waits for that, neither
   * a commit nor an fsync.
   */
  async retire(layers: readonly Layer[]): Promise<void> {
    await this.rounds.exclusive(() => {
      for (const layer of layers) layer.close();
      return Promise.resolve();
    });
    this.removeFiles(layers.map((layer) => layer.files));
  }

  /** Begins to remove the files of layers that are closed and that no record lists (layer-removal.ts). */
  removeFiles(layers: readonly LayerFiles[]): void {
    this.removal.start(layers);
  }

  /** A view of older layers over the base at the size they had: what a commit composes. */
  frozenView(layers: readonly Layer[]): DiskView {
    const { base } = this.state;
    // What a commit reads to compose a chunk is nothing that the guest has touched.
    const plane = { ...this.state.plane(0), layers: layers.map((layer) => layer.plane()), touches: null };
    return { plane, base, sizeBytes: sizeOf(base, layers) };
  }

  /** Forgets a failure: the head is opened anew. */
  recover(): void {
    this.state.recover();
  }

  /** Ends: no thread may know it any more. Nothing is synced here. */
  async close(): Promise<void> {
    const { state } = this;
    state.end();
    await state.section(() => undefined);
    await this.rounds.exclusive(() => {
      for (const layer of state.layers) layer.close();
      return Promise.resolve();
    });
    await this.removal.stop(REMOVAL_PATIENCE_MS);
    await this.parts.bases.release(state.base);
  }

  /** Looks at base and layers as they are now, and keeps the base's map meanwhile. */
  private async onExtents<T>(look: (extents: Extents) => Promise<T>): Promise<T> {
    const { base, layers, sizeBytes } = this.state;
    const letGo = this.state.hold(base);
    try {
      return await look({ base, layers, sizeBytes });
    } finally {
      letGo();
    }
  }
}
