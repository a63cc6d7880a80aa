/** `status`: the state of the mount or of an image as JSON, made at the first read and paged through by later ones. */
import { FsError } from '../../fuse/errno.js';
import type { Attributes, Caller, Opened } from '../../fuse/file-system.js';
import { timesAt } from '../attributes.js';
import type { StatusTarget } from '../targets.js';
import type { StatusPage, TreeContext, TreeNode } from './context.js';

export class StatusFile implements TreeNode {
  constructor(
    private readonly tree: TreeContext,
    private readonly node: number,
    private readonly target: StatusTarget,
  ) {}

  attributes(): Promise<Attributes> {
    return Promise.resolve(this.tree.attributes.status(this.node, timesAt(this.tree.startedMs)));
  }

  async open(_flags: unknown, caller: Caller): Promise<Opened> {
    if (this.target.owner !== null) await this.tree.places.image(this.target.owner, caller.signal);
    return { handle: this.tree.statusPages.add(fresh()), directIo: true, keepCache: false, noFlush: true };
  }

  async read(handle: number, offset: number, lengthBytes: number): Promise<Uint8Array> {
    const page = this.tree.statusPages.get(handle, fresh);
    if (page.text === undefined || offset === 0) {
      page.text = Buffer.from(`${JSON.stringify(await this.#document(), null, 2)}\n`);
    }
    return page.text.subarray(offset, offset + lengthBytes);
  }

  release(handle: number): Promise<void> {
    this.tree.statusPages.release(handle);
    return Promise.resolve();
  }

  seek(): Promise<number> {
    return Promise.reject(new FsError('ENXIO', 'A status file has no data to seek.'));
  }

  #document(): Promise<unknown> {
    const { owner } = this.target;
    return owner === null ? this.tree.mountStatus() : this.tree.imageStatus(owner.image);
  }
}

function fresh(): StatusPage {
  return { text: undefined };
}
