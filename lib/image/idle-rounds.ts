/**
 * Rounds that nobody has asked for: every few seconds what was written is made durable, and the record says since when
 * there is something that is in no snapshot, so that a restart knows it.
 */
import { messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { HeadDisk } from './head-disk.js';
import type { HeadDiskParts } from './head-state.js';
import type { KeptRecord } from './kept-record.js';
import { withRoom } from './room.js';

const INTERVAL_MS = 5000;

export class IdleRounds {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly parts: HeadDiskParts & { readonly now: () => number; readonly log: Log },
    private readonly kept: KeptRecord,
    private readonly disk: HeadDisk,
  ) {}

  /** An fsync. */
  request(): Promise<void> {
    return withRoom(this.parts.mirror, async () => {
      await this.kept.settle();
      await this.disk.rounds.request();
    });
  }

  start(): void {
    if (this.timer !== undefined) return;
    this.timer = setInterval(() => {
      if (this.disk.isDirty() && this.kept.value.dirtySinceMs === null) this.noteDirty();
      // A failed round has told the log, and every later request.
      if (this.disk.failure === undefined && this.disk.rounds.isNeeded()) this.request().catch(() => undefined);
    }, INTERVAL_MS);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private noteDirty(): void {
    this.kept.change({ dirtySinceMs: this.parts.now() }).catch((error: unknown) => {
      this.parts.log.warn(`The record of ${this.kept.value.image} could not be written.`, { error: messageOf(error) });
    });
  }
}
