/** What `status` says of an image: the store is asked for its listing, all else is known here. */
import type { RandomId } from '../format/references.js';
import type { Health, ImageStatus } from './api.js';
import type { FollowedHead } from './followed-head.js';
import { cloneOrigin, ownBase } from './head-record.js';
import { headUsage, snapshotUsage } from './head-usage.js';
import type { HeadParts } from './head.js';
import type { ImageHydration } from './image-hydration.js';
import type { ImageSnapshots } from './image-snapshots.js';

/** What there is of an image. */
export interface StatusSubject {
  readonly name: string;
  readonly id: RandomId;
  readonly heads: Pick<HeadParts, 'attendances' | 'bases' | 'stateId'>;
  readonly head: FollowedHead;
  readonly snapshots: ImageSnapshots;
  readonly hydration: ImageHydration;
  /** Whether the store does not answer. */
  readonly isOffline: () => boolean;
}

export async function statusOf({ name, id, heads, snapshots, ...of }: StatusSubject): Promise<ImageStatus> {
  const head = await of.head.look();
  const listing = await snapshots.listing();
  const lock = listing.writer;
  // A read-only mount has no head: what it shows is the newest snapshot.
  const number = head === undefined ? listing.snapshots.at(-1)?.number : ownBase(head.record)?.number;
  const record = head === undefined && number !== undefined ? await snapshots.living(number) : undefined;
  const base = head?.disk.currentBase ?? (record && heads.bases.peek(record));
  const usage = head === undefined ? snapshotUsage(record, base) : headUsage(head);
  const health: Health = of.isOffline() ? 'offline' : usage.failure === null ? 'ok' : 'degraded';
  return {
    image: name,
    imageId: id,
    ...usage,
    baseNumber: number ?? null,
    localCloneOf: head === undefined ? null : cloneOrigin(head.record),
    health,
    needsStore: usage.missingBytes > 0,
    profile: (base && heads.attendances.replayStatus(base)) ?? null,
    hydrating: of.hydration.progress,
    fill: base === undefined ? 'off' : heads.attendances.fillState(base),
    lock,
    lockIsOurs: head?.record.lockHeld === true || lock?.stateId === heads.stateId,
  };
}
