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
import { orAborted, throwIfAborted } from '../util/abort.js';
import { hasCode, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { Turns } from '../util/turns.js';
import { ownBase } from './head-record.js';
import type { KeptRecord } from './kept-record.js';

export interface ClaimParts {
  readonly repository: Repository;
  /** Identity of this state directory. */
  readonly stateId: RandomId;
  readonly now: () => number;
  readonly log: Log;
}

/** `away`: the store did not answer, and can be asked again. */
export type Told = 'settled' | 'away';

export class WriterClaim {
  /** What the store is told about the lock, one thing at a time: nothing once it is given up. */
  private readonly turns = new Turns();

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
    const given = this.turns.take(async () => {
      throwIfAborted(signal);
      await repository.readLock(image, signal);
      if (this.isHeld) await this.kept.change({ lockHeld: false });
      await repository.releaseLock(image, stateId, signal);
    });
    await orAborted(given, signal);
  }

  /**
   * Says on the lock where the head stands now; `delete` and collection respect it. A lock that was taken away by force is taken
   * again, unless another host has it. Never rejects.
   */
  tell(): Promise<Told> {
    return this.turns.take(async () => {
      if (!this.isHeld) return 'settled';
      const { image } = this.kept.value;
      try {
        await this.parts.repository.updateLock(image, this.lock());
        return 'settled';
      } catch (error) {
        const advice = hasCode(error, 'LOCKED')
          ? `; if that host publishes first, save the changes of this one with \`lazydisk commit <mountpoint> ${image} --as NEW-IMAGE\``
          : '';
        this.parts.log.warn(`the lock of ${image} could not be updated${advice}`, { error: messageOf(error) });
        return toldBy(error);
      }
    });
  }

  /** Looks at the lock; where it is ours and names another base, it is told. Never rejects. */
  async correct(signal: AbortSignal): Promise<Told> {
    if (!this.isHeld) return 'settled';
    const { repository, stateId } = this.parts;
    let found: WriterLock | null;
    try {
      found = await repository.readLock(this.kept.value.image, signal);
    } catch (error) {
      return toldBy(error);
    }
    const isRight = found?.base?.commitId === this.lock().base?.commitId;
    return found?.stateId !== stateId || isRight ? 'settled' : this.tell();
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

function toldBy(error: unknown): Told {
  return hasCode(error, 'UNREACHABLE') ? 'away' : 'settled';
}
