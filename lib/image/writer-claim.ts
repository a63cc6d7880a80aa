/**
 * This host's claim to write to an image: `writer.json` in the store, and `lockHeld` in the head's record.
 *
 * The lock is taken with If-None-Match; `lockHeld` says that we have it, so that no store is asked again until it is given
 * up. A kill between the two is harmless: the lock names our state directory, and taking it again finds it ours.
 */
import { hostname } from 'node:os';

import type { RandomId } from '../format/references.js';
import type { WriterLock } from '../format/writer-lock.js';
import type { Repository } from '../repository/api.js';
import { hasCode, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { ownBase } from './head-record.js';
import type { KeptRecord } from './kept-record.js';

export interface ClaimParts {
  readonly repository: Repository;
  /** Identity of this state directory. */
  readonly stateId: RandomId;
  readonly now: () => number;
  readonly log: Log;
}

export class WriterClaim {
  constructor(
    private readonly parts: ClaimParts,
    private readonly kept: KeptRecord,
  ) {}

  get isHeld(): boolean {
    return this.kept.value.lockHeld;
  }

  /** Takes the lock in the store; `hold` makes it ours for good. LOCKED names the holder. */
  async take(signal: AbortSignal | undefined): Promise<void> {
    await this.parts.repository.assertExclusivePuts(signal);
    await this.parts.repository.takeLock(this.kept.value.image, this.lock(), signal);
  }

  async hold(): Promise<void> {
    await this.kept.change({ lockHeld: true });
  }

  /**
   * Removes our lock from the store. It is not held here from before the store may have removed it: were it the other way
   * round, a kill in between would leave a host that writes without a lock. A store that is away is found out first.
   */
  async giveUp(signal: AbortSignal | undefined): Promise<void> {
    const { repository, stateId } = this.parts;
    const { image } = this.kept.value;
    await repository.readLock(image, signal);
    if (this.isHeld) await this.kept.change({ lockHeld: false });
    await repository.releaseLock(image, stateId, signal);
  }

  /**
   * Says on the lock where the head stands now; collection respects it. A store that is away is told another time. A lock that
   * was taken away by force, and taken by another host, stays that host's.
   */
  async tell(): Promise<void> {
    if (!this.isHeld) return;
    const { image } = this.kept.value;
    try {
      await this.parts.repository.updateLock(image, this.lock());
    } catch (error) {
      const advice = hasCode(error, 'LOCKED')
        ? `; if that host publishes first, save the changes of this one with \`lazydisk commit <mountpoint> ${image} --as NEW-IMAGE\``
        : '';
      this.parts.log.warn(`the lock of ${image} could not be updated${advice}`, { error: messageOf(error) });
    }
  }

  private lock(): WriterLock {
    const { imageId } = this.kept.value;
    const base = ownBase(this.kept.value);
    return {
      formatVersion: 1,
      imageId,
      stateId: this.parts.stateId,
      host: hostname(),
      pid: process.pid,
      timeMs: this.parts.now(),
      base: base === null ? null : { number: base.number, commitId: base.commitId },
    };
  }
}
