/** `control`: commands in, outcomes out (control/session.ts). Read and written past the page cache. */
import { FsError } from '../../fuse/errno.js';
import type { Attributes, Caller, Opened } from '../../fuse/file-system.js';
import { timesAt } from '../attributes.js';
import { ControlSession } from '../control/session.js';
import type { ControlTarget } from '../targets.js';
import type { TreeContext, TreeNode } from './context.js';

export class ControlFile implements TreeNode {
  constructor(
    private readonly tree: TreeContext,
    private readonly node: number,
    private readonly target: ControlTarget,
  ) {}

  attributes(): Promise<Attributes> {
    return Promise.resolve(this.tree.attributes.control(this.node, timesAt(this.tree.startedMs)));
  }

  /** `echo … > control` truncates first: that changes nothing and is no error. */
  setAttributes(): Promise<void> {
    return Promise.resolve();
  }

  async open(_flags: unknown, caller: Caller): Promise<Opened> {
    if (this.target.owner !== null) await this.tree.places.image(this.target.owner, caller.signal);
    return { handle: this.tree.sessions.add(this.#fresh()), directIo: true, keepCache: false, noFlush: false };
  }

  read(handle: number, offset: number, lengthBytes: number, caller: Caller): Promise<Uint8Array> {
    return this.#session(handle).read(offset, lengthBytes, caller.signal);
  }

  write(handle: number, _offset: number, bytes: Uint8Array, caller: Caller): Promise<void> {
    return this.#session(handle).write(bytes, caller.signal);
  }

  flush(handle: number, caller: Caller): Promise<void> {
    return this.#session(handle).flush(caller.signal);
  }

  release(handle: number): Promise<void> {
    this.tree.sessions.release(handle);
    return Promise.resolve();
  }

  seek(): Promise<number> {
    return Promise.reject(new FsError('ENXIO', 'A control file has no data to seek.'));
  }

  #session(handle: number): ControlSession {
    return this.tree.sessions.get(handle, () => this.#fresh());
  }

  #fresh(): ControlSession {
    return new ControlSession(this.tree.commands, this.target.owner?.image);
  }
}
