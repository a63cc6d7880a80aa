/**
 * From what a node names to the living thing, or ESTALE when that has gone or has become another content.
 *
 * ESTALE is what makes the kernel look a path up again, once, before it gives the error to anybody.
 */
import type { Catalogue, Head, Image, SnapshotInfo } from '../../lib/image/api.js';
import type { RandomId } from '../../lib/format/references.js';
import { hasCode } from '../../lib/util/errors.js';
import { FsError } from '../fuse/errno.js';
import type { HeadTarget, SnapshotTarget } from './targets.js';

export class Places {
  constructor(private readonly catalogue: Catalogue) {}

  async image(target: { readonly image: string; readonly imageId: RandomId }, signal: AbortSignal): Promise<Image> {
    const image = await this.catalogue.find(target.image, signal);
    if (image?.id !== target.imageId) throw stale(`the image ${target.image}`);
    return image;
  }

  async head(target: HeadTarget, signal: AbortSignal): Promise<Head> {
    const image = await this.image(target, signal);
    const head = await image.head(signal);
    if (head?.contentId !== target.contentId) throw stale(`disk.raw of ${target.image}`);
    return head;
  }

  async snapshotInfo(target: SnapshotTarget, signal: AbortSignal): Promise<SnapshotInfo> {
    const image = await this.image(target, signal);
    const info = await image.snapshotInfo(target.number, signal).catch((error: unknown) => {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    });
    if (info?.commitId !== target.commitId) throw stale(`${target.image}@${target.number}`);
    return info;
  }
}

/** The error of a node whose content is there no more. */
export function stale(what: string): FsError {
  return new FsError('ESTALE', `What this node named as ${what} has gone or has been replaced: look it up again.`);
}
