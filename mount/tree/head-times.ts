/**
 * The times that a head shows: those of the last write, unless utimes has set them since.
 *
 * A head keeps what utimes set, but not whether a write came after it. That is remembered here, as the time of the last
 * write when the times were set: while it is still the last write, the set time is shown. After a restart the later one of
 * both is shown, so that a write is never hidden.
 */
import type { Head, HeadOwner } from '../../lib/image/api.js';
import type { Times } from './attributes.js';

/** What a head keeps before anybody has changed it. */
export type DefaultOwner = Pick<HeadOwner, 'uid' | 'gid' | 'mode'>;

export class HeadTimes {
  /** By content id: time of the last write when the modification time was set. */
  readonly #writtenWhenSet = new Map<string, number>();
  /** By content id: when owner, mode or times were changed. */
  readonly #changedMs = new Map<string, number>();

  constructor(private readonly now: () => number) {}

  shown(head: Head): Times {
    const writtenMs = head.modifiedMs();
    const owner = head.owner();
    const mtimeMs = this.#modified(head, owner, writtenMs);
    const ctimeMs = Math.max(writtenMs, this.#changedMs.get(head.contentId) ?? 0);
    return { atimeMs: owner?.atimeMs ?? writtenMs, mtimeMs, ctimeMs };
  }

  /** To be called after owner, mode or times of the head were set. */
  wasChanged(head: Head, mtimeWasSet: boolean): void {
    this.#changedMs.set(head.contentId, this.now());
    if (mtimeWasSet) this.#writtenWhenSet.set(head.contentId, head.modifiedMs());
  }

  #modified(head: Head, owner: HeadOwner | null, writtenMs: number): number {
    if (owner === null) return writtenMs;
    const writtenWhenSet = this.#writtenWhenSet.get(head.contentId);
    if (writtenWhenSet === undefined) return Math.max(owner.mtimeMs, writtenMs);
    return writtenWhenSet === writtenMs ? owner.mtimeMs : writtenMs;
  }
}
