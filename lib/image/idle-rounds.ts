/**
 * Rounds that nobody has asked for: every few seconds what was written is made durable, and the record says since when
 * there is something that is in no snapshot, so that a restart knows it.
 *
 * The record also says that a round has failed, before anybody is told. The kernel forgets such an error once it has told it: a
 * daemon that took over would find every later fsync to succeed.
 */
import { messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { Opening } from './api.js';
import type { HeadDisk } from './head-disk.js';
import type { HeadRecord } from './head-record.js';
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
      await this.disk.rounds.request().catch(async (error: unknown) => {
        await this.noteFailure();
        throw error;
      });
    });
  }

  /** The first open. What has failed is tried anew, unless the descriptor is one that was there when it failed. */
  begin(opening: Opening): void {
    if (opening === 'earlier') return;
    const hasFailed = this.disk.failure !== undefined;
    this.disk.recover();
    // Nobody waits for it: what is not kept makes a later daemon fail once more.
    if (hasFailed) void this.note({ failedSync: null });
  }

  start(): void {
    if (this.timer !== undefined) return;
    this.timer = setInterval(() => {
      if (this.disk.isDirty() && this.kept.value.dirtySinceMs === null)
        void this.note({ dirtySinceMs: this.parts.now() });
      // A failed round has told the log, and every later request.
      if (this.disk.failure === undefined && this.disk.rounds.isNeeded()) this.request().catch(() => undefined);
    }, INTERVAL_MS);
    this.timer.unref();
  }

  /** Resolves when the record is no longer being written. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.kept.ended();
  }

  private async noteFailure(): Promise<void> {
    const reason = this.disk.failure?.facts['reason'];
    if (typeof reason === 'string' && this.kept.value.failedSync === null) await this.note({ failedSync: reason });
  }

  /** Never rejects. */
  private async note(changes: Partial<HeadRecord>): Promise<void> {
    await this.kept.change(changes).catch((error: unknown) => {
      this.parts.log.warn(`The record of ${this.kept.value.image} could not be written.`, { error: messageOf(error) });
    });
  }
}
