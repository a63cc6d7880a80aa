/**
 * Files that the kernel reads by itself: FUSE passthrough.
 *
 * The model: a node is open in one mode at a time, because the kernel refuses (EIO) to mix them. The mode is decided by the
 * first open of a node and holds until its last release: `cached`, as ever, or `passthrough` with the one id under which
 * the kernel knows the backing file. A flat file that comes or goes meanwhile counts from the next first open on.
 *
 * The kernel forgets a close before it tells us of it, so what we count is never behind what it checks. An open whose caller
 * was gone before the answer is never released: its node keeps the mode, which is safe.
 *
 * Ids and modes belong to the connection and outlive a daemon: the next one knows them from open-records.ts.
 *
 * What can't be passed through (an old kernel, no right to ask, a backing file on a stacked file system) is served as ever.
 */
import { messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { ioctl } from '../../lib/util/syscalls.js';
import type { MountedDevice } from './device.js';
import type { OpenNode, OpenRecords } from './open-records.js';

/** From the kernel's interface: `_IOW(229, 1, struct fuse_backing_map)` and `_IOW(229, 2, u32)`. */
const BACKING_OPEN = 0x4010e501;
const BACKING_CLOSE = 0x4004e502;

/** The kernel's table of backing files. Both throw as system calls do. */
export interface BackingFiles {
  /** Makes an open file known; returns its id. */
  open(descriptor: number): number;
  close(backingId: number): void;
}

/** Those of a mount; undefined where the kernel has none. */
export function backingFiles({ descriptor: device, negotiated }: MountedDevice): BackingFiles | undefined {
  if (!negotiated.canPassThrough) return undefined;
  return {
    open: (descriptor) => {
      const map = Buffer.alloc(16);
      map.writeInt32LE(descriptor, 0);
      return ioctl(device, BACKING_OPEN, map);
    },
    close: (backingId) => {
      const id = Buffer.alloc(4);
      id.writeInt32LE(backingId, 0);
      ioctl(device, BACKING_CLOSE, id);
    },
  };
}

export class Passthrough {
  private readonly nodes: Map<number, OpenNode>;
  private refusalLogged = false;

  constructor(
    private readonly files: BackingFiles | undefined,
    private readonly log: Log,
    /** undefined: no other daemon can follow. */
    private readonly records?: OpenRecords,
  ) {
    this.nodes = new Map(records?.earlier);
  }

  /** Counts an open of a node under a handle; the id to answer with, or undefined: to be served as ever. Never rejects. */
  async opened(node: number, handle: number, backing: number | undefined): Promise<number | undefined> {
    const known = this.nodes.get(node);
    const backingId =
      known?.backingId ?? (known === undefined && backing !== undefined ? this.register(backing) : null);
    const open = { backingId, opens: { ...known?.opens, [handle]: (known?.opens[handle] ?? 0) + 1 } };
    this.nodes.set(node, open);
    await this.keep(node, open);
    return backingId ?? undefined;
  }

  /** To be called when the kernel has the answer to the release. */
  released(node: number, handle: number): void {
    const known = this.nodes.get(node);
    if (known === undefined) return;
    const open = withoutOne(known, handle);
    if (open === undefined) this.nodes.delete(node);
    else this.nodes.set(node, open);
    void this.keep(node, open);
    if (open !== undefined || known.backingId === null) return;
    try {
      this.files?.close(known.backingId);
    } catch (error) {
      this.log.error(`fuse: a backing file could not be given back to the kernel: ${messageOf(error)}`);
    }
  }

  private async keep(node: number, open: OpenNode | undefined): Promise<void> {
    await this.records?.keep(node, open).catch((error: unknown) => {
      this.log.warn(`fuse: how a file is open could not be kept for a later daemon: ${messageOf(error)}`);
    });
  }

  /** Said once: it will not be otherwise for the next file. */
  private register(descriptor: number): number | null {
    try {
      return this.files?.open(descriptor) ?? null;
    } catch (error) {
      if (!this.refusalLogged)
        this.log.warn(`fuse: flat files are served by us, the kernel refuses them: ${messageOf(error)}`);
      this.refusalLogged = true;
      return null;
    }
  }
}

/** undefined: it was the last open. */
function withoutOne({ backingId, opens }: OpenNode, handle: number): OpenNode | undefined {
  const { [handle]: count = 0, ...others } = opens;
  const left = count > 1 ? { ...others, [handle]: count - 1 } : others;
  return Object.keys(left).length === 0 ? undefined : { backingId, opens: left };
}
