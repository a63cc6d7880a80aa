/**
 * A head's record in memory and in `head.json`, never apart: a change is durable before it is seen, and when writing fails
 * nothing has changed. Changes queue behind one another.
 *
 * A disk that fails once the file was being replaced leaves it in doubt: the next process might find the change that nobody
 * here has seen, and with it other layers than those that are written to. So what was is written again at once, and until that
 * has worked by every later change, and by every fsync.
 */
import { join } from 'node:path';

import { Turns } from '../util/turns.js';
import { writeHeadRecord } from './head-record.js';
import type { HeadRecord } from './head-record.js';

export class KeptRecord {
  private current: HeadRecord;
  private persisted: boolean;
  private doubtful = false;
  private readonly turns = new Turns();

  /** `persisted`: whether head.json exists already; a head that is just its base has none. */
  constructor(
    private readonly headsDirectory: string,
    record: HeadRecord,
    persisted: boolean,
  ) {
    this.current = record;
    this.persisted = persisted;
  }

  get value(): HeadRecord {
    return this.current;
  }

  get isPersisted(): boolean {
    return this.persisted;
  }

  /** The folder of this head: its record and its layers. */
  get directory(): string {
    return join(this.headsDirectory, this.current.imageId);
  }

  /** Whether the file may say something else than `value`. */
  get isDoubtful(): boolean {
    return this.doubtful;
  }

  /** Durable when it resolves. Rejects as node:fs does. */
  change(changes: Partial<HeadRecord>): Promise<void> {
    return this.turns.take(async () => {
      const changed = { ...this.current, ...changes };
      try {
        await this.write(changed);
      } catch (error) {
        if (this.doubtful) await this.write(this.current).catch(() => undefined);
        throw error;
      }
      this.current = changed;
    });
  }

  /** Ends a doubt. Rejects as node:fs does: then what is written to the head may be lost with the process. */
  async settle(): Promise<void> {
    if (!this.doubtful) return;
    await this.turns.take(async () => {
      if (this.doubtful) await this.write(this.current);
    });
  }

  /** Resolves when no change is under way. */
  ended(): Promise<void> {
    return this.turns.ended();
  }

  private async write(record: HeadRecord): Promise<void> {
    await writeHeadRecord(join(this.directory, 'head.json'), record, () => {
      this.doubtful = true;
      this.persisted = true;
    });
    this.doubtful = false;
  }
}
