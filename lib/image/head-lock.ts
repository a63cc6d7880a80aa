/**
 * When a head takes the writer's lock (writer-claim.ts), what it looks at before it holds it, and when it gives it up.
 *
 * The rule: the lock first, then the look. Whoever has the lock sees every snapshot that a writer before it has published, and
 * nobody publishes another one while it looks. Writes begin only on what a commit could publish: the newest snapshot, which
 * lives. A lock is given up when nothing is lost by it: the head is clean, and a commit has published it.
 *
 * Whoever calls what takes it or gives it up has the head's turn.
 */
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { KeptRecord } from './kept-record.js';
import { assertBaseIsListed } from './living-base.js';
import { LockCatchUp } from './lock-catch-up.js';
import { WriterClaim } from './writer-claim.js';
import type { ClaimParts } from './writer-claim.js';

/** What the lock asks of its head. */
export interface LockedHead {
  isDirty(): boolean;
  isOpen(): boolean;
  /** The content becomes that of a snapshot that another host has published. */
  follow(record: SnapshotRecord): Promise<void>;
}

export class HeadLock {
  private readonly claim: WriterClaim;
  private readonly catchingUp: LockCatchUp;

  constructor(
    private readonly parts: ClaimParts,
    private readonly kept: KeptRecord,
    private readonly head: LockedHead,
  ) {
    this.claim = new WriterClaim(parts, kept);
    this.catchingUp = new LockCatchUp(this.claim);
  }

  /**
   * For the first open for writing, unless it is held; a local clone has no name to lock. LOCKED names the holder; CONFLICT: the
   * base was deleted; BUSY: another host has published while the disk is open; STALE: the head has followed what was published.
   */
  async takeToWrite(signal: AbortSignal | undefined): Promise<void> {
    const { claim, head } = this;
    const { image, origin } = this.kept.value;
    if (claim.isHeld || origin !== null) return;
    const { repository } = this.parts;
    await claim.take(signal);
    const listing = await repository.summarizeImage(image, signal);
    const newest = listing.snapshots.at(-1);
    if (newest === undefined || newest.number <= this.kept.value.seenNumber || head.isDirty()) {
      // Nobody's writes may begin on what no commit could publish.
      if (!head.isDirty())
        await this.orGiveUp(assertBaseIsListed(this.kept.value, listing, repository, signal), signal);
      await claim.hold();
      return;
    }
    const record = await repository.readRecord(image, newest.number, signal);
    // No await from this question to the reset: nobody opens it in between.
    if (head.isOpen()) {
      await claim.giveUp(signal);
      throw new LazydiskError(
        'BUSY',
        `${image}@${newest.number} was published by another host while this disk is open on ` +
          `@${this.kept.value.seenNumber}: close it everywhere, then open it for writing.`,
      );
    }
    await head.follow(record);
    await claim.hold();
    await this.tell();
    throw new LazydiskError('STALE', `${image} has a newer snapshot, ${newest.number}: its disk is another one now.`);
  }

  /**
   * For the first commit of a local clone, which takes its name in the store; nothing to do otherwise. EXISTS, LOCKED: another
   * image has it meanwhile. REFUSED names the right that is missing.
   */
  async takeName(signal: AbortSignal | undefined): Promise<void> {
    const { image, imageId, origin } = this.kept.value;
    if (origin === null || this.claim.isHeld) return;
    const { repository, stateId } = this.parts;
    await this.claim.take(signal).catch((error: unknown) => {
      // Its holder writes another image: to give up that lock would be no help.
      if (hasCode(error, 'LOCKED')) throw new LazydiskError('LOCKED', nameIsTaken(image), { facts: error.facts });
      throw error;
    });
    const newest = (await repository.listImage(image, signal)).snapshots.at(-1);
    // One of ours is an earlier try whose answer was lost: the commit will find it.
    if (newest !== undefined && (await repository.readRecord(image, newest.number, signal)).imageId !== imageId) {
      await repository.releaseLock(image, stateId, signal);
      throw new LazydiskError('EXISTS', nameIsTaken(image), { facts: { image } });
    }
    await this.claim.hold();
  }

  /** For a new image: there is nothing to look at. LOCKED names the holder. */
  async takeForNewImage(signal: AbortSignal | undefined): Promise<void> {
    await this.claim.take(signal);
    await this.claim.hold();
  }

  /** Says on the lock where the head stands now; a store that is away is told later (lock-catch-up.ts). Never rejects. */
  async tell(): Promise<void> {
    if ((await this.claim.tell()) === 'away') this.catchUp();
  }

  /** Makes sure in the background that the lock, if we have it, names the base. */
  catchUp(): void {
    this.catchingUp.start();
  }

  /** Nothing is done in the background any more. */
  stop(): void {
    this.catchingUp.stop();
  }

  async giveUpIfClean(signal: AbortSignal | undefined): Promise<void> {
    if (this.claim.isHeld && !this.head.isDirty() && this.kept.value.base !== null) await this.claim.giveUp(signal);
  }

  private async orGiveUp(condition: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    try {
      await condition;
    } catch (error) {
      await this.claim.giveUp(signal);
      throw error;
    }
  }
}

/** Why a local clone can't be published, and what can be done. */
function nameIsTaken(image: string): string {
  return (
    `Another image has been named ${image} in the repository meanwhile; the changes of this one are kept: ` +
    `publish it under another name with \`lazydisk commit <mountpoint> ${image} --as NEW-IMAGE\`.`
  );
}
