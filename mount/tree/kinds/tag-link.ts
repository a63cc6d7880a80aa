/** `TAG.raw`: a symbolic link to the snapshot that a tag leads to, read anew each time. It may dangle: the snapshot was deleted. */
import type { Attributes, Caller } from '../../fuse/file-system.js';
import { timesAt } from '../attributes.js';
import { snapshotName } from '../names.js';
import type { TagTarget } from '../targets.js';
import type { TreeContext, TreeNode } from './context.js';

export class TagLink implements TreeNode {
  constructor(
    private readonly tree: TreeContext,
    private readonly node: number,
    private readonly target: TagTarget,
  ) {}

  async attributes(caller: Caller): Promise<Attributes> {
    return this.tree.attributes.link(this.node, await this.readLink(caller), timesAt(this.tree.startedMs));
  }

  async readLink(caller: Caller): Promise<string> {
    const image = await this.tree.places.image(this.target, caller.signal);
    return snapshotName(await image.tagged(this.target.tag, 'recent', caller.signal));
  }
}
