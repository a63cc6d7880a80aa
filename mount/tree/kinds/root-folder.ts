/** The root of the mount: one folder per image, and the control and status files of the whole mount. */
import { isImageName } from '../../../lib/format/keys.js';
import { hasCode } from '../../../lib/util/errors.js';
import { FsError } from '../../fuse/errno.js';
import type { Attributes, Caller, DirectoryEntry } from '../../fuse/file-system.js';
import { ROOT_NODE } from '../../fuse/file-system.js';
import { timesAt } from '../attributes.js';
import { mapLimited } from '../map-limited.js';
import { CONTROL_NAME, STATUS_NAME } from '../names.js';
import type { Target } from '../targets.js';
import type { TreeContext, TreeNode } from './context.js';
import { ControlFile } from './control-file.js';
import { ImageFolder } from './image-folder.js';
import { StatusFile } from './status-file.js';
import { UNKNOWN_NODE, LOOKUPS_AT_ONCE } from './listing.js';

export class RootFolder implements TreeNode {
  constructor(private readonly tree: TreeContext) {}

  attributes(): Promise<Attributes> {
    return Promise.resolve(this.tree.attributes.folder(ROOT_NODE, timesAt(this.tree.startedMs)));
  }

  async lookup(name: string, caller: Caller): Promise<Attributes> {
    if (name === CONTROL_NAME) return this.#control();
    if (name === STATUS_NAME) return this.#status();
    // Names that no image can have (.Trash, autorun.inf of desktops) are not worth a look at the store.
    const image = isImageName(name) ? await this.tree.catalogue.find(name, caller.signal) : undefined;
    if (image === undefined) throw new FsError('ENOENT', `There is no image ${name}.`);
    return this.#folder({ kind: 'image', image: name, imageId: image.id }, caller);
  }

  /** An image that can't be read now is listed all the same, without a node: looking it up says why. */
  async list(caller: Caller): Promise<DirectoryEntry[]> {
    const { catalogue, ids } = this.tree;
    const names = await catalogue.names(caller.signal);
    const targets = await mapLimited(names, LOOKUPS_AT_ONCE, (name) => this.#target(name, caller));
    const known = targets.filter((target) => typeof target === 'object');
    const special: Target[] = [
      { kind: 'control', owner: null },
      { kind: 'status', owner: null },
    ];
    const nodes = await ids.nodesOf([...special, ...known]);
    const entries: DirectoryEntry[] = [
      { name: CONTROL_NAME, node: nodes[0]!, kind: 'file' },
      { name: STATUS_NAME, node: nodes[1]!, kind: 'file' },
    ];
    let next = special.length;
    names.forEach((name, index) => {
      const target = targets[index];
      if (target === 'gone') return;
      entries.push({ name, node: target === 'unreadable' ? UNKNOWN_NODE : nodes[next++]!, kind: 'directory' });
    });
    return entries;
  }

  async makeDirectory(name: string, caller: Caller): Promise<Attributes> {
    if (name === CONTROL_NAME || name === STATUS_NAME) throw new FsError('EEXIST', `${name} is there already.`);
    const image = await this.tree.catalogue.create(name, caller.signal);
    return this.#folder({ kind: 'image', image: name, imageId: image.id }, caller);
  }

  /** Only of an image that was never committed and holds nothing: what was written goes by `revert`, not by rmdir. */
  async removeDirectory(name: string, caller: Caller): Promise<void> {
    if (name === CONTROL_NAME || name === STATUS_NAME) throw new FsError('ENOTDIR', `${name} is no folder.`);
    const { catalogue } = this.tree;
    const image = await catalogue.find(name, caller.signal);
    if (image === undefined) throw new FsError('ENOENT', `There is no image ${name}.`);
    if ((await image.snapshots(caller.signal)).length > 0) throw committed(name);
    if ((await image.head(caller.signal))?.isDirty() === true) {
      throw new FsError(
        'ENOTEMPTY',
        `The image ${name} has uncommitted changes: revert it first, then remove its folder.`,
      );
    }
    await catalogue.remove(name).catch((error: unknown) => {
      throw hasCode(error, 'CONFLICT') ? committed(name) : error;
    });
  }

  async #target(name: string, caller: Caller): Promise<Target | 'gone' | 'unreadable'> {
    try {
      const image = await this.tree.catalogue.find(name, caller.signal);
      return image === undefined ? 'gone' : { kind: 'image', image: name, imageId: image.id };
    } catch (error) {
      if (caller.signal.aborted) throw error;
      return 'unreadable';
    }
  }

  async #folder(target: Extract<Target, { kind: 'image' }>, caller: Caller): Promise<Attributes> {
    return new ImageFolder(this.tree, await this.tree.ids.nodeOf(target), target).attributes(caller);
  }

  async #control(): Promise<Attributes> {
    const target = { kind: 'control', owner: null } as const;
    return new ControlFile(this.tree, await this.tree.ids.nodeOf(target), target).attributes();
  }

  async #status(): Promise<Attributes> {
    const target = { kind: 'status', owner: null } as const;
    return new StatusFile(this.tree, await this.tree.ids.nodeOf(target), target).attributes();
  }
}

function committed(name: string): FsError {
  return new FsError(
    'EPERM',
    `The image ${name} has snapshots: nothing is deleted by removing folders, use lazydisk delete.`,
  );
}
