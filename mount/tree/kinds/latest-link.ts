/** `latest.raw`: a symbolic link to the newest snapshot of its folder, read anew each time. */
import { FsError } from '../../fuse/errno.js';
import type { Attributes, Caller } from '../../fuse/file-system.js';
import { timesAt } from '../attributes.js';
import { snapshotName } from '../names.js';
import type { LatestTarget } from '../targets.js';
import type { TreeContext, TreeNode } from './context.js';

export class LatestLink implements TreeNode {
  constructor(
    private readonly tree: TreeContext,
    private readonly node: number,
    private readonly target: LatestTarget,
  ) {}

  async attributes(caller: Caller): Promise<Attributes> {
    return this.tree.attributes.link(this.node, await this.readLink(caller), timesAt(this.tree.startedMs));
  }

  async readLink(caller: Caller): Promise<string> {
    const image = await this.tree.places.image(this.target, caller.signal);
    const newest = (await image.snapshots(caller.signal)).at(-1);
    if (newest === undefined) throw new FsError('ENOENT', `The image ${this.target.image} has no snapshot.`);
    return snapshotName(newest);
  }
}
