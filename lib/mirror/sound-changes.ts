/**
 * Changes of a LevelDB that stay when they have been acknowledged, also behind one that has failed.
 *
 * A change that met a full disk may have left a part of itself at the end of LevelDB's log. LevelDB goes on behind it as if it were
 * whole: what comes later succeeds, synced or not, and is passed over by the next open. So changes go one after the other, and
 * behind one that failed none is made before LevelDB writes to a new log: then all that it has in memory is in a table, and the
 * old log is gone. That is done when there is room for it; a table that finds none would end all writing until the next open.
 */
import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Level } from 'level';
import { LazydiskError } from '../util/errors.js';
import { Turns } from '../util/turns.js';

/** Beside the table: the new log, and the manifest. */
const ROOM_BYTES = 1024 * 1024;

export class SoundChanges {
  private readonly turns = new Turns();
  /** The end of the log may be a part of a change. */
  private isTorn = false;

  constructor(
    private readonly directory: string,
    private readonly level: Level<string, Uint8Array>,
  ) {}

  /** Rejects as `change` does. NO_SPACE, IO: an earlier one has failed, and what that has left is still there. */
  make(change: () => Promise<void>): Promise<void> {
    return this.turns.take(async () => {
      if (this.isTorn) await this.leaveLog();
      this.isTorn = true;
      await change();
      this.isTorn = false;
    });
  }

  private async leaveLog(): Promise<void> {
    const torn = await this.logs();
    const { bavail, bsize } = await statfs(this.directory);
    if (bavail * bsize < (await this.bytesOf(torn)) + ROOM_BYTES)
      throw new LazydiskError('NO_SPACE', `The disk of the database in ${this.directory} is full: make room on it.`);
    await this.beginLog();
    const left = new Set(await this.logs());
    if (torn.some((name) => left.has(name)))
      throw new LazydiskError('IO', `The database in ${this.directory} can't be written until it is opened anew.`);
  }

  /** A compaction, here of no key, begins a new log first, and waits for the table of the old one. Whether that worked it does not say. */
  private async beginLog(): Promise<void> {
    // The types of `level` leave it out.
    await (this.level as unknown as { compactRange(start: string, end: string): Promise<void> }).compactRange('', '');
  }

  private async logs(): Promise<string[]> {
    return (await readdir(this.directory)).filter((name) => /^\d+\.log$/.test(name));
  }

  private async bytesOf(names: readonly string[]): Promise<number> {
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(this.directory, name))).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }
}
