/** A snapshot as a disk: a base without layers. It never changes, so it needs no gate section. */
import { BLOCK_SIZE } from '../format/geometry.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import type { Disk } from './api.js';
import { seekExtent } from './allocation.js';
import type { Attendances, Subject } from './attendance.js';
import type { Base } from './base.js';
import type { Bases } from './bases.js';
import type { HoldBase } from './disk-reader.js';
import { readDisk } from './disk-reader.js';
import { Exposure } from './exposure.js';
import { CONTROL_WHOLE_BLOCKS, CONTROL_WORDS } from './plane.js';
import type { Plane, PlaneFeed } from './plane.js';

export class SnapshotDisk implements Disk {
  readonly contentId: string;
  private readonly control = new Uint32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  private readonly exposure: Exposure;
  private readonly subject: Subject;
  /** Held while the disk is exposed or read. */
  private base: Base | undefined;
  private users = 0;

  constructor(
    readonly record: SnapshotRecord,
    image: string,
    private readonly bases: Bases,
    private readonly attendances: Attendances,
    feed: PlaneFeed,
  ) {
    this.subject = { image, imageId: record.imageId, parent: record.parent };
    this.contentId = `snapshot/${record.imageId}/${record.number}/${record.commitId}`;
    Atomics.store(this.control, CONTROL_WHOLE_BLOCKS, Math.floor(record.sizeBytes / BLOCK_SIZE));
    this.exposure = new Exposure(feed, (key) => planeOf(key, this.control, this.base!, this.record.chunkSizeBytes));
  }

  get chunkSizeBytes(): number {
    return this.record.chunkSizeBytes;
  }

  sizeBytes(): number {
    return this.record.sizeBytes;
  }

  modifiedMs(): number {
    return this.record.timeMs;
  }

  allocatedBytes(): Promise<number> {
    return Promise.resolve(this.record.allocatedBytes);
  }

  async read(offset: number, lengthBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    return this.withBase(async (base) => {
      const plane = planeOf(0, this.control, base, this.record.chunkSizeBytes);
      const view = { plane, base, sizeBytes: this.record.sizeBytes };
      const hold: HoldBase = () => () => undefined;
      return readDisk(() => view, hold, offset, lengthBytes, signal);
    });
  }

  async seek(offset: number, whence: 'data' | 'hole', signal?: AbortSignal): Promise<number | undefined> {
    return this.withBase((base) =>
      seekExtent({ base, layers: [], sizeBytes: this.record.sizeBytes }, offset, whence, signal),
    );
  }

  expose(key: number): Promise<void> {
    this.attendances.enter(this.enter(), this.subject);
    this.exposure.expose(key);
    return Promise.resolve();
  }

  conceal(key: number): Promise<void> {
    this.exposure.conceal(key);
    if (this.base !== undefined) this.attendances.leave(this.base);
    return this.leave();
  }

  private async withBase<T>(use: (base: Base) => Promise<T>): Promise<T> {
    const base = this.enter();
    try {
      return await use(base);
    } finally {
      await this.leave();
    }
  }

  private enter(): Base {
    this.users++;
    this.base ??= this.bases.acquire(this.record);
    return this.base;
  }

  private async leave(): Promise<void> {
    this.users--;
    if (this.users > 0 || this.base === undefined) return;
    const base = this.base;
    this.base = undefined;
    await this.bases.release(base);
  }
}

/** The plane of a base without layers. */
export function planeOf(
  key: number,
  control: Uint32Array<SharedArrayBuffer>,
  base: Base,
  chunkSizeBytes: number,
): Plane {
  return {
    key,
    control,
    writable: false,
    chunkSizeBytes,
    slots: base.map?.words ?? null,
    slotCount: base.chunks,
    slotDescriptor: base.slotFile.descriptor,
    slotReferenced: base.slotFile.referenced,
    touches: base.touches.plane,
    layers: [],
  };
}
