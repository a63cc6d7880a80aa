/**
 * The boot profile that is kept with one image: read, made from what this mount has read of the image, taken away.
 *
 * It stands in the store under the image's name, so a local clone, which the store does not know, has none of its own. What
 * its boots teach goes to the image that it stands on (attendance.ts).
 */
import type { BootProfile } from '../format/profile.js';
import type { RandomId } from '../format/references.js';
import { dropProfile, readProfile, writeProfile } from '../repository/profiles.js';
import { LazydiskError } from '../util/errors.js';
import { mergedRanges } from './boot-profile.js';
import type { FollowedHead } from './followed-head.js';
import { cloneOrigin } from './head-record.js';
import type { HeadParts } from './head.js';
import { touchedChunks } from './profile-run.js';

export class ImageProfile {
  constructor(
    private readonly heads: Pick<HeadParts, 'repository' | 'now'>,
    private readonly image: string,
    private readonly imageId: RandomId,
    private readonly head: FollowedHead,
  ) {}

  /** null: there is none. DAMAGED, UNREACHABLE. */
  async read(): Promise<BootProfile | null> {
    return this.origin === null ? readProfile(this.heads.repository.store, this.image) : null;
  }

  /** Replaces whatever there was. CONFLICT: nothing was read on this mount, or it is a local clone. */
  async record(): Promise<BootProfile> {
    this.assertPublished();
    const base = (await this.head.look())?.disk.currentBase;
    const touched = base === undefined ? [] : touchedChunks(base);
    if (base === undefined || touched.length === 0) {
      throw new LazydiskError(
        'CONFLICT',
        `Nothing of ${this.image} was read on this mount: boot it from disk.raw, then record.`,
      );
    }
    const ranges = mergedRanges([], touched, base.tree.chunkSizeBytes);
    const profile = { formatVersion: 1, imageId: this.imageId, timeMs: this.heads.now(), boots: 1, ranges } as const;
    await writeProfile(this.heads.repository.store, this.image, profile);
    return profile;
  }

  /** Also when there is none. CONFLICT: it is a local clone. */
  async drop(): Promise<void> {
    this.assertPublished();
    await dropProfile(this.heads.repository.store, this.image);
  }

  /** What a local clone stands on; null: the store knows this image. */
  private get origin(): ReturnType<typeof cloneOrigin> {
    const { own } = this.head;
    return own === undefined ? null : cloneOrigin(own.record);
  }

  private assertPublished(): void {
    const { origin } = this;
    if (origin === null) return;
    throw new LazydiskError(
      'CONFLICT',
      `${this.image} is on this host only, and its boot profile is that of ${origin.image}: commit it first.`,
    );
  }
}
