/**
 * Serves a VolatileDisk to the kernel: one request after the other, each answered at once.
 *
 * It uses the protocol layer of mount/fuse and none of its file system's contract, since it must see what that one never
 * passes on: FSYNCDIR. What changes the disk is counted, so that the power can fail at a chosen change, and can be
 * made to fail.
 */
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '../../lib/util/errors.js';
import { MNT_DETACH, MNT_FORCE, umount2 } from '../../lib/util/syscalls.js';
import { mountDevice, type MountedDevice } from '../../mount/fuse/device.js';
import { errnoNumber } from '../../mount/fuse/errno.js';
import type { Attributes } from '../../mount/fuse/file-system.js';
import { decode } from '../../mount/fuse/protocol/decode.js';
import { encodeDirectoryPage, encodeDirectoryPagePlus, pageOf } from '../../mount/fuse/protocol/directory.js';
import {
  encodeAttributes,
  encodeCreated,
  encodeEntry,
  encodeOffset,
  encodeOpened,
  encodeStatistics,
  encodeWritten,
} from '../../mount/fuse/protocol/encode.js';
import { REQUEST_BUFFER_BYTES } from '../../mount/fuse/protocol/limits.js';
import { hasReply } from '../../mount/fuse/protocol/opcodes.js';
import { refusalOf } from '../../mount/fuse/protocol/refusals.js';
import type { Operation, Request, SetAttributes } from '../../mount/fuse/protocol/requests.js';
import { Replies } from '../../mount/fuse/replies.js';
import { DiskError, type DiskErrno, type VolatileDisk } from './volatile-disk.js';

/** What is answered with an error instead of being done. */
export interface Injection {
  readonly operation: 'read' | 'write' | 'fsync' | 'fsyncdir' | 'create' | 'rename';
  /** Of the file's name; of the folder's for `fsyncdir`. */
  readonly name: RegExp;
  readonly errno: DiskErrno;
  /** How often. */
  times: number;
}

export interface DiskHooks {
  /** Before each change: writes, cuts, names, and syncs. */
  readonly beforeChange: () => void;
  readonly injections: Injection[];
}

const NO_BODY = new Uint8Array(0);
const OPENED = { handle: 1, directIo: false, keepCache: false, noFlush: true };
const OPENED_FOLDER = { ...OPENED, handle: 2 };
/** Statistics of a disk that is never full. */
const ROOMY = {
  blockSizeBytes: 4096,
  totalBytes: 100 * 2 ** 30,
  freeBytes: 80 * 2 ** 30,
  files: 1000,
  freeFiles: 1_000_000,
  nameMax: 255,
};

export class DiskServer {
  private readonly replies: Replies;
  private readonly names = new Map<number, string>();

  private constructor(
    private readonly disk: VolatileDisk,
    private readonly mounted: MountedDevice,
    private readonly hooks: DiskHooks,
  ) {
    const fail = (message: string): void => void process.stderr.write(`power disk: ${message}\n`);
    this.replies = new Replies(mounted.descriptor, { info: fail, warn: fail, error: fail });
  }

  static async mount(disk: VolatileDisk, mountpoint: string, hooks: DiskHooks): Promise<DiskServer> {
    const options = { mountpoint, source: 'power-disk', allowOther: false, readOnly: false };
    const server = new DiskServer(disk, await mountDevice(options), hooks);
    void server.serve();
    return server;
  }

  /** Takes the mount away although files are open: whoever has them gets errors from then on. */
  detach(): void {
    umount2(this.mounted.mountpoint, MNT_FORCE | MNT_DETACH);
  }

  private async serve(): Promise<void> {
    const receive = promisify(read);
    const buffer = Buffer.alloc(REQUEST_BUFFER_BYTES);
    for (;;) {
      try {
        const { bytesRead } = await receive(this.mounted.descriptor, buffer, 0, buffer.length, null);
        this.answer(Buffer.from(buffer.subarray(0, bytesRead)));
      } catch (error) {
        const code = errnoOf(error);
        if (code === 'ENOENT' || code === 'EINTR' || code === 'EAGAIN') continue;
        if (code === 'ENODEV') return;
        throw error;
      }
    }
  }

  private answer(bytes: Buffer): void {
    const decoded = decode(bytes);
    if (!decoded.ok) {
      const { unique, opcode, errno } = decoded.bad;
      if (unique !== undefined && hasReply(opcode)) this.replies.error(unique, errnoNumber(errno));
      return;
    }
    const { header, operation } = decoded.request;
    if (operation.kind === 'interrupt' || operation.kind === 'ignored') return;
    if (operation.kind === 'refused') {
      this.replies.error(header.unique, errnoNumber(refusalOf(header.opcode)));
      return;
    }
    try {
      this.replies.body(header.unique, this.perform(decoded.request));
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.replies.error(header.unique, errnoNumber(error.code));
    }
  }

  private perform({ header: { node }, operation }: Request): Uint8Array {
    const { disk } = this;
    this.maybeFail(node, operation);
    switch (operation.kind) {
      case 'lookup':
        return encodeEntry(this.attributes(this.named(disk.lookup(node, operation.name), operation.name)));
      case 'getattr':
        return encodeAttributes(this.attributes(node));
      case 'setattr':
        this.setAttributes(node, operation.changes);
        return encodeAttributes(this.attributes(node));
      case 'mkdir':
        return encodeEntry(this.attributes(this.make(node, operation.name, 'directory')));
      case 'create':
        return encodeCreated(this.attributes(this.make(node, operation.name, 'file')), OPENED);
      case 'unlink':
      case 'rmdir':
        this.hooks.beforeChange();
        disk.remove(node, operation.name, operation.kind === 'unlink' ? 'file' : 'directory');
        return NO_BODY;
      case 'rename':
        this.hooks.beforeChange();
        disk.rename(node, operation.name, operation.newParent, operation.newName);
        this.named(disk.lookup(node, operation.newName), operation.newName);
        return NO_BODY;
      case 'open':
        // O_TRUNC comes as a SETATTR of its own.
        return encodeOpened(OPENED);
      case 'read':
        return disk.read(node, operation.offset, operation.lengthBytes);
      case 'write':
        this.hooks.beforeChange();
        disk.write(node, operation.offset, operation.bytes);
        return encodeWritten(operation.bytes.byteLength);
      case 'allocate':
        this.allocate(node, operation);
        return NO_BODY;
      case 'seek':
        return encodeOffset(disk.seek(node, operation.offset, operation.whence));
      case 'fsync':
      case 'fsyncdir':
        this.hooks.beforeChange();
        disk.sync(node);
        return NO_BODY;
      case 'opendir':
        return encodeOpened(OPENED_FOLDER);
      case 'readdir':
        return this.page(node, operation);
      case 'statfs':
        return encodeStatistics(ROOMY);
      case 'flush':
      case 'release':
      case 'releasedir':
      case 'destroy':
        return NO_BODY;
      default:
        throw new DiskError('EIO');
    }
  }

  private make(folder: number, name: string, kind: 'file' | 'directory'): number {
    this.hooks.beforeChange();
    return this.named(this.disk.make(folder, name, kind), name);
  }

  private setAttributes(node: number, { sizeBytes }: SetAttributes): void {
    if (sizeBytes === undefined) return;
    this.hooks.beforeChange();
    this.disk.truncate(node, sizeBytes);
  }

  private allocate(node: number, operation: Extract<Operation, { kind: 'allocate' }>): void {
    const { mode, offset, lengthBytes } = operation;
    this.hooks.beforeChange();
    if (mode === 'punch-hole' || mode.startsWith('zero-range')) this.disk.punch(node, offset, lengthBytes);
    const grows = mode === 'allocate' || mode === 'zero-range';
    if (grows && offset + lengthBytes > this.disk.sizeOf(node)) this.disk.truncate(node, offset + lengthBytes);
  }

  private page(node: number, operation: Extract<Operation, { kind: 'readdir' }>): Uint8Array {
    const { position, lengthBytes, withAttributes } = operation;
    const entries = this.disk.list(node).map(([name, child]) => ({
      name,
      node: this.named(child, name),
      kind: this.disk.kindOf(child),
      nameBytes: Buffer.from(name),
    }));
    const page = pageOf(entries, position, lengthBytes, withAttributes);
    if (page === undefined) throw new DiskError('EIO');
    if (!withAttributes) return encodeDirectoryPage(page, position);
    return encodeDirectoryPagePlus(
      page,
      position,
      page.map((entry) => this.attributes(entry.node)),
    );
  }

  private attributes(node: number): Attributes {
    const kind = this.disk.kindOf(node);
    return {
      ...{ node, kind, mode: kind === 'directory' ? 0o700 : 0o600, uid: 0, gid: 0, links: 1 },
      ...{ sizeBytes: this.disk.sizeOf(node), allocatedBytes: this.disk.allocatedBytes(node), blockSizeBytes: 4096 },
      ...{ atimeMs: 0, mtimeMs: 0, ctimeMs: 0 },
    };
  }

  private named(node: number, name: string): number {
    this.names.set(node, name);
    return node;
  }

  private maybeFail(node: number, operation: Operation): void {
    const name = 'name' in operation ? operation.name : (this.names.get(node) ?? '');
    for (const injection of this.hooks.injections) {
      if (injection.times === 0 || injection.operation !== operation.kind || !injection.name.test(name)) continue;
      injection.times--;
      throw new DiskError(injection.errno);
    }
  }
}
