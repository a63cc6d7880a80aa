/**
 * The folder of an image: its snapshots, links to the newest and to those that are tagged, its head, and its control and status files.
 *
 * Its time is that of the newest snapshot. `disk.raw` can be created in a new folder only, where there is neither a
 * snapshot nor a head; every other name is refused.
 */
import type { Head, Image } from '../../../lib/image/api.js';
import { hasCode } from '../../../lib/util/errors.js';
import { FsError } from '../../fuse/errno.js';
import type { Attributes, Caller, DirectoryEntry, OpenFlags, Opened } from '../../fuse/file-system.js';
import { timesAt } from '../attributes.js';
import { mapLimited } from '../map-limited.js';
import {
  CONTROL_NAME,
  HEAD_NAME,
  LATEST_NAME,
  snapshotName,
  snapshotNumber,
  STATUS_NAME,
  tagFileName,
  tagOf,
} from '../names.js';
import type { HeadTarget, ImageFolderTarget, SnapshotTarget, Target } from '../targets.js';
import type { TreeContext, TreeNode } from './context.js';
import { ControlFile } from './control-file.js';
import { HeadFile } from './head-file.js';
import { LatestLink } from './latest-link.js';
import { LOOKUPS_AT_ONCE, UNKNOWN_NODE } from './listing.js';
import { SnapshotFile } from './snapshot-file.js';
import { StatusFile } from './status-file.js';
import { TagLink } from './tag-link.js';

export class ImageFolder implements TreeNode {
  constructor(
    private readonly tree: TreeContext,
    private readonly node: number,
    private readonly target: ImageFolderTarget,
  ) {}

  async attributes(caller: Caller): Promise<Attributes> {
    const image = await this.#image(caller);
    return this.tree.attributes.folder(this.node, timesAt(await this.#timeMs(image, caller)));
  }

  async lookup(name: string, caller: Caller): Promise<Attributes> {
    const image = await this.#image(caller);
    const { tree } = this;
    if (name === CONTROL_NAME || name === STATUS_NAME) {
      const target = { kind: name, owner: this.#owner() } as const;
      const node = await tree.ids.nodeOf(target);
      return target.kind === 'control'
        ? new ControlFile(tree, node, { ...target, kind: 'control' }).attributes()
        : new StatusFile(tree, node, { ...target, kind: 'status' }).attributes();
    }
    if (name === HEAD_NAME) return this.#lookupHead(image, caller);
    if (name === LATEST_NAME) return this.#lookupLatest(image, caller);
    const tag = tagOf(name);
    if (tag !== undefined) return this.#lookupTag(image, name, tag, caller);
    const number = snapshotNumber(name);
    if (number === undefined || !(await image.snapshots(caller.signal)).includes(number)) throw this.#noSuch(name);
    const target = await this.#snapshotTarget(image, number, caller);
    if (target === undefined) throw this.#noSuch(name);
    return new SnapshotFile(tree, await tree.ids.nodeOf(target), target).attributes(caller);
  }

  /** A snapshot whose record can't be read now is listed all the same, without a node: looking it up says why. */
  async list(caller: Caller): Promise<DirectoryEntry[]> {
    const image = await this.#image(caller);
    const numbers = await image.snapshots(caller.signal);
    const snapshots = await mapLimited(numbers, LOOKUPS_AT_ONCE, (number) => this.#listed(image, number, caller));
    const head = await this.#head(image, caller);
    const named: [name: string, kind: DirectoryEntry['kind'], target: Target | 'unreadable'][] = [
      [CONTROL_NAME, 'file', { kind: 'control', owner: this.#owner() }],
      [STATUS_NAME, 'file', { kind: 'status', owner: this.#owner() }],
    ];
    numbers.forEach((number, index) => {
      const target = snapshots[index];
      if (target !== undefined) named.push([snapshotName(number), 'file', target]);
    });
    if (numbers.length > 0) named.push([LATEST_NAME, 'symlink', { kind: 'latest', ...this.#owner() }]);
    for (const tag of await image.tags(caller.signal)) {
      named.push([tagFileName(tag), 'symlink', { kind: 'tag', ...this.#owner(), tag }]);
    }
    if (head !== undefined) named.push([HEAD_NAME, 'file', this.#headTarget(head)]);
    const nodes = await this.tree.ids.nodesOf(
      named.flatMap(([, , target]) => (target === 'unreadable' ? [] : [target])),
    );
    let next = 0;
    return named.map(([name, kind, target]) => ({
      name,
      kind,
      node: target === 'unreadable' ? UNKNOWN_NODE : nodes[next++]!,
    }));
  }

  async create(name: string, flags: OpenFlags, caller: Caller): Promise<{ attributes: Attributes; opened: Opened }> {
    if (name !== HEAD_NAME) {
      throw new FsError('EPERM', `Only ${HEAD_NAME} can be created in the folder of an image, not ${name}.`);
    }
    const image = await this.#image(caller);
    if ((await this.#head(image, caller)) !== undefined) throw new FsError('EEXIST', `${name} is there already.`);
    const head = await image.createHead();
    const target = this.#headTarget(head);
    const node = await this.tree.ids.nodeOf(target);
    const file = new HeadFile(this.tree, node, target);
    const opened = await file.open(flags, caller);
    return { attributes: await file.attributes(caller), opened };
  }

  /** Nothing in here is a folder. */
  async removeDirectory(name: string, caller: Caller): Promise<void> {
    await this.lookup(name, caller);
    throw new FsError('ENOTDIR', `${name} is no folder.`);
  }

  #image(caller: Caller): Promise<Image> {
    return this.tree.places.image(this.target, caller.signal);
  }

  #owner(): { image: string; imageId: string } {
    return { image: this.target.image, imageId: this.target.imageId };
  }

  async #timeMs(image: Image, caller: Caller): Promise<number> {
    try {
      const newest = (await image.snapshots(caller.signal)).at(-1);
      if (newest === undefined) return this.tree.startedMs;
      return (await image.snapshotInfo(newest, caller.signal)).timeMs;
    } catch (error) {
      // A folder can be entered although its newest record can't be read.
      if (caller.signal.aborted) throw error;
      return this.tree.startedMs;
    }
  }

  async #head(image: Image, caller: Caller): Promise<Head | undefined> {
    return this.tree.readOnly ? undefined : image.head(caller.signal);
  }

  #headTarget(head: Head): HeadTarget {
    return { kind: 'head', ...this.#owner(), contentId: head.contentId };
  }

  async #lookupHead(image: Image, caller: Caller): Promise<Attributes> {
    const head = await this.#head(image, caller);
    if (head === undefined) throw this.#noSuch(HEAD_NAME);
    const target = this.#headTarget(head);
    return new HeadFile(this.tree, await this.tree.ids.nodeOf(target), target).attributes(caller);
  }

  async #lookupLatest(image: Image, caller: Caller): Promise<Attributes> {
    if ((await image.snapshots(caller.signal)).length === 0) throw this.#noSuch(LATEST_NAME);
    const target = { kind: 'latest', ...this.#owner() } as const;
    return new LatestLink(this.tree, await this.tree.ids.nodeOf(target), target).attributes(caller);
  }

  async #lookupTag(image: Image, name: string, tag: string, caller: Caller): Promise<Attributes> {
    if (!(await image.tags(caller.signal)).includes(tag)) throw this.#noSuch(name);
    const target = { kind: 'tag', ...this.#owner(), tag } as const;
    return new TagLink(this.tree, await this.tree.ids.nodeOf(target), target).attributes(caller);
  }

  /** undefined: deleted since it was listed. */
  async #snapshotTarget(image: Image, number: number, caller: Caller): Promise<SnapshotTarget | undefined> {
    try {
      const { commitId } = await image.snapshotInfo(number, caller.signal);
      return { kind: 'snapshot', ...this.#owner(), number, commitId };
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  }

  async #listed(image: Image, number: number, caller: Caller): Promise<SnapshotTarget | 'unreadable' | undefined> {
    try {
      return await this.#snapshotTarget(image, number, caller);
    } catch (error) {
      if (caller.signal.aborted) throw error;
      return 'unreadable';
    }
  }

  #noSuch(name: string): FsError {
    return new FsError('ENOENT', `There is no ${name} in the folder of ${this.target.image}.`);
  }
}
