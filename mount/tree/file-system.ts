/**
 * The file system that a driver shows: DESIGN 9, on top of the catalogue.
 *
 * A request names a node by its number. The number is resolved to what it names (node-ids.ts), the table of operations is
 * asked (refusals.ts), and the node's kind does the rest (kinds/). Nothing here keeps state about nodes, so that any request
 * with a node id of an earlier daemon is served or answered ESTALE.
 */
import { statfs } from 'node:fs/promises';
import { FsError, type ErrnoName } from '../fuse/errno.js';
import type {
  AllocateMode,
  AttributeChanges,
  Attributes,
  Caller,
  DirectoryEntry,
  FileSystem,
  FileSystemStatistics,
  OpenFlags,
  Opened,
  Whence,
} from '../fuse/file-system.js';
import { ControlFile } from './kinds/control-file.js';
import type { TreeContext, TreeNode } from './kinds/context.js';
import { HeadFile } from './kinds/head-file.js';
import { ImageFolder } from './kinds/image-folder.js';
import { LatestLink } from './kinds/latest-link.js';
import { RootFolder } from './kinds/root-folder.js';
import { SnapshotFile } from './kinds/snapshot-file.js';
import { StatusFile } from './kinds/status-file.js';
import { TagLink } from './kinds/tag-link.js';
import { stale } from './places.js';
import { refusal, type Operation } from './refusals.js';
import type { Target } from './targets.js';

/** Longest name of an entry, bytes: that of most file systems; image names end at 128. */
const NAME_MAX_BYTES = 255;

export class TreeFileSystem implements FileSystem {
  constructor(
    private readonly tree: TreeContext,
    /** Its file system is what statfs tells of: local writes and chunks go there. */
    private readonly stateDirectory: string,
  ) {}

  async lookup(parent: number, name: string, caller: Caller): Promise<Attributes> {
    const folder = this.#node(parent, 'list');
    return served(folder.lookup?.(name, caller));
  }

  async getAttributes(node: number, caller: Caller): Promise<Attributes> {
    return this.#bind(node, this.#target(node)).attributes(caller);
  }

  async setAttributes(node: number, changes: AttributeChanges, caller: Caller): Promise<Attributes> {
    const resizes = changes.sizeBytes !== undefined;
    const ownership = changes.mode !== undefined || changes.uid !== undefined || changes.gid !== undefined;
    // Times come along with a truncate of the kernel's own; alone they are a change of attributes.
    const bound = this.#node(node, resizes ? 'resize' : 'change');
    if (resizes && ownership) this.#node(node, 'change');
    await bound.setAttributes?.(changes, caller);
    return bound.attributes(caller);
  }

  async readLink(node: number, caller: Caller): Promise<string> {
    return served(this.#node(node, 'read-link').readLink?.(caller));
  }

  async makeDirectory(parent: number, name: string, _mode: number, caller: Caller): Promise<Attributes> {
    return served(this.#node(parent, 'make-directory').makeDirectory?.(name, caller));
  }

  async create(
    parent: number,
    name: string,
    _mode: number,
    flags: OpenFlags,
    caller: Caller,
  ): Promise<{ attributes: Attributes; opened: Opened }> {
    return served(this.#node(parent, 'create').create?.(name, flags, caller));
  }

  async removeDirectory(parent: number, name: string, caller: Caller): Promise<void> {
    return served(this.#node(parent, 'remove-directory').removeDirectory?.(name, caller));
  }

  async unlink(parent: number, name: string, caller: Caller): Promise<void> {
    await this.#refuseEntry(parent, name, 'unlink', caller);
  }

  async rename(parent: number, name: string, newParent: number, _newName: string, caller: Caller): Promise<void> {
    this.#refuse(this.#target(newParent), 'list');
    await this.#refuseEntry(parent, name, 'rename', caller);
  }

  async makeOther(parent: number, name: string): Promise<never> {
    this.#refuse(this.#target(parent), 'make-other');
    throw new FsError('EPERM', `${name} can't be made here.`);
  }

  async open(node: number, flags: OpenFlags, caller: Caller): Promise<Opened> {
    const target = this.#target(node);
    this.#refuse(target, 'read');
    if (flags.write || flags.truncate) this.#refuse(target, 'write');
    return served(this.#bind(node, target).open?.(flags, caller));
  }

  async adopt(node: number, handle: number, opens: number): Promise<void> {
    const target = this.tree.ids.targetOf(node);
    if (target !== undefined) await this.#bind(node, target).adopt?.(handle, opens);
  }

  async read(node: number, handle: number, offset: number, lengthBytes: number, caller: Caller): Promise<Uint8Array> {
    return served(this.#node(node, 'read').read?.(handle, offset, lengthBytes, caller));
  }

  async write(node: number, handle: number, offset: number, bytes: Uint8Array, caller: Caller): Promise<void> {
    return served(this.#node(node, 'write').write?.(handle, offset, bytes, caller));
  }

  async flush(node: number, handle: number, caller: Caller): Promise<void> {
    await this.#bind(node, this.#target(node)).flush?.(handle, caller);
  }

  async release(node: number, handle: number): Promise<void> {
    const target = this.tree.ids.targetOf(node);
    if (target !== undefined) await this.#bind(node, target).release?.(handle);
  }

  /** Only a head has anything that is not durable yet; for all others it is done already. */
  async fsync(node: number, handle: number, caller: Caller): Promise<void> {
    await this.#bind(node, this.#target(node)).fsync?.(handle, caller);
  }

  async allocate(node: number, mode: AllocateMode, offset: number, lengthBytes: number, caller: Caller): Promise<void> {
    return served(this.#node(node, 'allocate').allocate?.(mode, offset, lengthBytes, caller));
  }

  async seek(node: number, offset: number, whence: Whence, caller: Caller): Promise<number> {
    return served(this.#node(node, 'seek').seek?.(offset, whence, caller));
  }

  async readDirectory(node: number, caller: Caller): Promise<readonly DirectoryEntry[]> {
    return served(this.#node(node, 'list').list?.(caller));
  }

  async statistics(): Promise<FileSystemStatistics> {
    const local = await statfs(this.stateDirectory);
    return {
      blockSizeBytes: local.bsize,
      totalBytes: local.blocks * local.bsize,
      freeBytes: local.bavail * local.bsize,
      files: local.files,
      freeFiles: local.ffree,
      nameMax: NAME_MAX_BYTES,
    };
  }

  /** The node, when its kind serves the operation. */
  #node(node: number, operation: Operation): TreeNode {
    const target = this.#target(node);
    this.#refuse(target, operation);
    return this.#bind(node, target);
  }

  #target(node: number): Target {
    const target = this.tree.ids.targetOf(node);
    if (target === undefined) throw stale(`number ${node}`);
    return target;
  }

  #refuse(target: Target, operation: Operation): void {
    const errno = refusal(target.kind, operation, this.tree.readOnly);
    if (errno !== undefined) throw new FsError(errno, refusalMessage(target, operation, errno));
  }

  /** What no folder ever does to an entry: ENOENT when there is none, else the table's answer. */
  async #refuseEntry(parent: number, name: string, operation: Operation, caller: Caller): Promise<void> {
    const folder = this.#node(parent, 'list');
    await served(folder.lookup?.(name, caller));
    this.#refuse(this.#target(parent), operation);
  }

  #bind(node: number, target: Target): TreeNode {
    switch (target.kind) {
      case 'root':
        return new RootFolder(this.tree);
      case 'image':
        return new ImageFolder(this.tree, node, target);
      case 'snapshot':
        return new SnapshotFile(this.tree, node, target);
      case 'head':
        return new HeadFile(this.tree, node, target);
      case 'latest':
        return new LatestLink(this.tree, node, target);
      case 'tag':
        return new TagLink(this.tree, node, target);
      case 'control':
        return new ControlFile(this.tree, node, target);
      case 'status':
        return new StatusFile(this.tree, node, target);
    }
  }
}

/** What a kind answers; EPERM when it has no such method although the table names no errno. */
function served<T>(answer: Promise<T> | undefined): Promise<T> {
  if (answer === undefined) throw new FsError('EPERM', 'This operation is not possible here.');
  return answer;
}

function refusalMessage(target: Target, operation: Operation, errno: ErrnoName): string {
  const reason = errno === 'EROFS' ? 'it is read-only' : `that is not possible here (${errno})`;
  return `The operation ${operation} on this ${target.kind} was refused: ${reason}.`;
}
