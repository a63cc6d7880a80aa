/**
 * `disk.raw`: the head of an image.
 *
 * A node stands for one content of the head: after a revert, or when a clean base has moved, requests on the old node are
 * ESTALE and the next lookup finds another one. So what the kernel has cached of a node stays right, and every open may
 * keep it. Opening for writing takes the writer's lock, so does a truncate by path.
 */
import type { Head } from '../../../lib/image/api.js';
import { MAX_IMAGE_BYTES } from '../../../lib/format/geometry.js';
import { messageOf } from '../../../lib/util/errors.js';
import { FsError } from '../../fuse/errno.js';
import type {
  AllocateMode,
  AttributeChanges,
  Attributes,
  Caller,
  OpenFlags,
  Opened,
  Whence,
} from '../../fuse/file-system.js';
import { HEAD_MODE } from '../attributes.js';
import { isHead, READ_HANDLE, WRITE_HANDLE, type OpenMode } from '../open-disks.js';
import { stale } from '../places.js';
import type { HeadTarget } from '../targets.js';
import type { TreeContext, TreeNode } from './context.js';
import { readDisk, seekDisk } from './disk-reads.js';

/** Permission bits that a head keeps: set-id bits mean nothing on a disk. */
const KEPT_MODE = 0o777;

export class HeadFile implements TreeNode {
  constructor(
    private readonly tree: TreeContext,
    private readonly node: number,
    private readonly target: HeadTarget,
  ) {}

  async attributes(caller: Caller): Promise<Attributes> {
    const open = this.tree.disks.peek(this.node);
    const head = open === undefined ? await this.#find(caller.signal) : this.#asHead(open);
    const allocatedBytes = await head.allocatedBytes();
    return this.tree.attributes.head(
      this.node,
      head.sizeBytes(),
      allocatedBytes,
      this.tree.headTimes.shown(head),
      head.owner(),
    );
  }

  async setAttributes(changes: AttributeChanges, caller: Caller): Promise<void> {
    if (changes.sizeBytes !== undefined) await this.#resize(changes.sizeBytes, caller);
    const { mode, uid, gid, atimeMs, mtimeMs } = changes;
    if ([mode, uid, gid, atimeMs, mtimeMs].every((change) => change === undefined)) return;
    const head = await this.#find(caller.signal);
    const { owners, headTimes } = this.tree;
    const kept = head.owner() ?? { uid: owners.uid, gid: owners.gid, mode: HEAD_MODE & ~owners.umask };
    const times = headTimes.shown(head);
    await head.setOwner({
      uid: uid ?? kept.uid,
      gid: gid ?? kept.gid,
      mode: (mode ?? kept.mode) & KEPT_MODE,
      atimeMs: atimeMs ?? times.atimeMs,
      mtimeMs: mtimeMs ?? times.mtimeMs,
    });
    headTimes.wasChanged(head, mtimeMs !== undefined);
  }

  async open(flags: OpenFlags, caller: Caller): Promise<Opened> {
    const mode: OpenMode = flags.write ? 'write' : 'read';
    const disk = await this.tree.disks.open(this.node, await this.#find(caller.signal), mode, caller.signal);
    if (flags.write && flags.truncate) {
      try {
        await this.#asHead(disk).truncate(0, caller.signal);
      } catch (error) {
        await this.tree.disks.release(this.node, mode);
        throw error;
      }
    }
    return { handle: flags.write ? WRITE_HANDLE : READ_HANDLE, directIo: false, keepCache: true, noFlush: true };
  }

  /** What can't be counted (the content has gone) is adopted by its first request, or refused. */
  async adopt(handle: number, opens: number): Promise<void> {
    const { signal } = new AbortController();
    try {
      for (let open = 0; open < opens; open++)
        await this.tree.disks.open(this.node, await this.#find(signal), modeOf(handle), signal, 'earlier');
    } catch (error) {
      this.tree.log.warn('Who had a disk open under the daemon before this one could not be counted.', {
        image: this.target.image,
        reason: messageOf(error),
      });
    }
  }

  async read(handle: number, offset: number, lengthBytes: number, caller: Caller): Promise<Uint8Array> {
    return this.tree.reads.timed(this.target, offset, lengthBytes, async () =>
      readDisk(await this.#use(modeOf(handle), caller), offset, lengthBytes, caller),
    );
  }

  async seek(offset: number, whence: Whence, caller: Caller): Promise<number> {
    return seekDisk(await this.#use('read', caller), offset, whence, caller);
  }

  async write(handle: number, offset: number, bytes: Uint8Array, caller: Caller): Promise<void> {
    if (handle !== WRITE_HANDLE) throw new FsError('EBADF', 'This descriptor is not open for writing.');
    assertInside(offset + bytes.length);
    await (await this.#use('write', caller)).write(offset, bytes, caller.signal);
  }

  async fsync(handle: number, caller: Caller): Promise<void> {
    await (await this.#use(modeOf(handle), caller)).fsync();
  }

  /** Room is never reserved: the disk only grows, so a later write may still meet ENOSPC. */
  async allocate(mode: AllocateMode, offset: number, lengthBytes: number, caller: Caller): Promise<void> {
    const endOffset = offset + lengthBytes;
    assertInside(endOffset);
    const head = await this.#use('write', caller);
    switch (mode) {
      case 'allocate':
        return head.extend(endOffset, caller.signal);
      case 'allocate-keep-size':
        return;
      case 'punch-hole':
        return head.punch(offset, lengthBytes, caller.signal);
      case 'zero-range':
      case 'zero-range-keep-size':
        return head.zeroRange(offset, lengthBytes, mode === 'zero-range-keep-size', caller.signal);
    }
  }

  release(handle: number): Promise<void> {
    return this.tree.disks.release(this.node, modeOf(handle));
  }

  /** truncate(2) by path has no open of its own, but is a write: it takes the lock like one. */
  async #resize(sizeBytes: number, caller: Caller): Promise<void> {
    assertInside(sizeBytes);
    const { disks } = this.tree;
    const disk = await disks.open(this.node, await this.#find(caller.signal), 'write', caller.signal);
    try {
      await this.#asHead(disk).truncate(sizeBytes, caller.signal);
    } finally {
      await disks.release(this.node, 'write');
    }
  }

  #find(signal: AbortSignal): Promise<Head> {
    return this.tree.places.head(this.target, signal);
  }

  async #use(mode: OpenMode, caller: Caller): Promise<Head> {
    return this.#asHead(await this.tree.disks.use(this.node, mode, () => this.#find(caller.signal)));
  }

  /** The head, if it still has the content that this node stands for. */
  #asHead(disk: { readonly contentId: string }): Head {
    const head = disk as Head;
    if (!isHead(head) || head.contentId !== this.target.contentId) throw stale(`disk.raw of ${this.target.image}`);
    return head;
  }
}

function modeOf(handle: number): OpenMode {
  return handle === WRITE_HANDLE ? 'write' : 'read';
}

function assertInside(endOffset: number): void {
  if (endOffset > MAX_IMAGE_BYTES) throw new FsError('EFBIG', `An image is at most ${MAX_IMAGE_BYTES} bytes.`);
}
