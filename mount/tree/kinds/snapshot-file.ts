/**
 * `N.raw`: a snapshot. Never changes, so what the kernel has cached of it stays right for ever. One that is open tells of
 * itself, also when it was deleted meanwhile or the store is away.
 */
import type { Disk } from '../../../lib/image/api.js';
import type { Attributes, Caller, OpenFlags, Opened, Whence } from '../../fuse/file-system.js';
import { timesAt } from '../attributes.js';
import { READ_HANDLE } from '../open-disks.js';
import type { SnapshotTarget } from '../targets.js';
import type { TreeContext, TreeNode } from './context.js';
import { readDisk, seekDisk } from './disk-reads.js';

/** Of an open that holds the flat file too. */
const FLAT_HANDLE = 2;

export class SnapshotFile implements TreeNode {
  constructor(
    private readonly tree: TreeContext,
    private readonly node: number,
    private readonly target: SnapshotTarget,
  ) {}

  async attributes(caller: Caller): Promise<Attributes> {
    const open = this.tree.disks.peek(this.node);
    if (open !== undefined) {
      const allocatedBytes = await open.allocatedBytes();
      return this.tree.attributes.snapshot(this.node, open.sizeBytes(), allocatedBytes, timesAt(open.modifiedMs()));
    }
    const info = await this.tree.places.snapshotInfo(this.target, caller.signal);
    return this.tree.attributes.snapshot(this.node, info.sizeBytes, info.allocatedBytes, timesAt(info.timeMs));
  }

  async open(_flags: OpenFlags, caller: Caller): Promise<Opened> {
    const disk = await this.tree.disks.open(this.node, await this.#find(caller.signal), 'read', caller.signal);
    const backing = await this.tree.flats.hold(disk.contentId, disk.sizeBytes());
    const opened = { directIo: false, keepCache: true, noFlush: true };
    return backing === undefined ? { ...opened, handle: READ_HANDLE } : { ...opened, handle: FLAT_HANDLE, backing };
  }

  async read(_handle: number, offset: number, lengthBytes: number, caller: Caller): Promise<Uint8Array> {
    return this.tree.reads.timed(this.target, offset, lengthBytes, async () =>
      readDisk(await this.#disk(caller), offset, lengthBytes, caller),
    );
  }

  async seek(offset: number, whence: Whence, caller: Caller): Promise<number> {
    return seekDisk(await this.#disk(caller), offset, whence, caller);
  }

  async release(handle: number): Promise<void> {
    if (handle === FLAT_HANDLE) {
      const disk = this.tree.disks.peek(this.node);
      if (disk !== undefined) this.tree.flats.letGo(disk.contentId);
    }
    await this.tree.disks.release(this.node, 'read');
  }

  #disk(caller: Caller): Promise<Disk> {
    return this.tree.disks.use(this.node, 'read', () => this.#find(caller.signal));
  }

  async #find(signal: AbortSignal): Promise<Disk> {
    await this.tree.places.snapshotInfo(this.target, signal);
    const image = await this.tree.places.image(this.target, signal);
    return image.snapshot(this.target.number, signal);
  }
}
