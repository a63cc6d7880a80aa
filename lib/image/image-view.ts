/** One image for those who look again and again (views.ts): its head, or what somebody has seen of its snapshots. */
import type { FollowedHead } from './followed-head.js';
import { firstReadsOf, glanceAt, lookUp, pictureOf, type Known } from './glance.js';
import type { HeadParts } from './head.js';
import type { ImageHydration } from './image-hydration.js';
import type { ImageProfile } from './image-profile.js';
import type { ImageSnapshots } from './image-snapshots.js';
import type { ImagePicture } from './picture.js';
import type { FirstReads, ImageGlance, ImageView } from './views.js';

/** What there is of an image. */
export interface ViewedImage {
  readonly name: string;
  readonly heads: Pick<HeadParts, 'attendances' | 'bases' | 'mirror'>;
  readonly head: FollowedHead;
  readonly snapshots: ImageSnapshots;
  readonly hydration: ImageHydration;
  readonly profile: ImageProfile;
}

export class LocalImageView implements ImageView {
  constructor(private readonly image: ViewedImage) {}

  /** Makes known what there is to see: the head, or the newest snapshot on a read-only mount. May ask the store. */
  async prepare(signal?: AbortSignal): Promise<void> {
    const { head, snapshots } = this.image;
    if ((await head.look(signal)) === undefined) await snapshots.newest(signal);
  }

  glance(): ImageGlance | null {
    const { name, heads, hydration } = this.image;
    const known = this.known();
    return known && glanceAt(name, known, heads.attendances, hydration.progress);
  }

  async picture(mostCells: number, signal?: AbortSignal): Promise<ImagePicture | null> {
    const known = this.known();
    return known && pictureOf(known, this.image.heads.mirror, mostCells, signal);
  }

  async lookUp(signal?: AbortSignal): Promise<void> {
    if (this.known() === null) return;
    const base = await this.image.head.acquireBase(undefined);
    try {
      await lookUp(base, signal);
    } finally {
      // Of a closed image it stays among the idle ones for a while.
      await this.image.heads.bases.release(base);
    }
  }

  async firstReads(mostCells: number): Promise<FirstReads | null> {
    const known = this.known();
    if (known === null) return null;
    const replayed = known.base && this.image.heads.attendances.replayedProfile(known.base);
    return firstReadsOf(known, replayed ?? (await this.image.profile.read()), mostCells);
  }

  /** What is in memory of it; null: nothing. */
  private known(): Known | null {
    const { head, snapshots, heads } = this.image;
    const own = head.known?.exists === true ? head.known : undefined;
    if (own !== undefined) return { head: own, base: own.disk.currentBase, snapshotNumber: undefined };
    const record = snapshots.newestSeen();
    return record === undefined
      ? null
      : { head: undefined, base: heads.bases.peek(record), snapshotNumber: record.number };
  }
}
