/**
 * A head's record in memory and in `head.json`, never apart: a change is durable before it is seen, and when writing fails
 * nothing has changed. Changes queue behind one another.
 */
import { join } from 'node:path';

import { writeHeadRecord } from './head-record.js';
import type { HeadRecord } from './head-record.js';

export class KeptRecord {
  private current: HeadRecord;
  private persisted: boolean;
  private writing: Promise<void> = Promise.resolve();

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

  /** Durable when it resolves. Rejects as node:fs does. */
  async change(changes: Partial<HeadRecord>): Promise<void> {
    const written = this.writing.then(async () => {
      await writeHeadRecord(join(this.directory, 'head.json'), { ...this.current, ...changes });
      this.current = { ...this.current, ...changes };
      this.persisted = true;
    });
    this.writing = written.catch(() => undefined);
    await written;
  }
}
