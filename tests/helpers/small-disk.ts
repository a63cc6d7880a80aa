/** A small file system of its own (ext4 in a file), so that a state directory can find it full. */
import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { undoLater } from './cleanup.js';
import { must } from './processes.js';
import { temporaryFolder } from './temporary.js';

export class SmallDisk {
  private constructor(readonly folder: string) {}

  static async mount(sizeBytes: number): Promise<SmallDisk> {
    const place = temporaryFolder('disk');
    const file = join(place, 'disk');
    const folder = join(place, 'mnt');
    await must('truncate', ['-s', String(sizeBytes), file]);
    // No blocks are kept for root, who would never find it full.
    await must('mkfs.ext4', ['-q', '-F', '-m', '0', file]);
    await mkdir(folder);
    await must('mount', ['-o', 'loop', file, folder]);
    undoLater(async () => {
      await must('umount', [folder]);
    });
    return new SmallDisk(folder);
  }

  /** Takes all that is free but `leaveBytes`. */
  async fill(leaveBytes = 0): Promise<void> {
    const { bavail, bsize } = await statfs(this.folder);
    const bytes = Math.max(0, bavail * bsize - leaveBytes);
    // What it got before it failed stays: that is as full as it gets.
    await must('fallocate', ['-l', String(bytes + 1), this.balloon]).catch(() => undefined);
  }

  async makeRoom(): Promise<void> {
    await rm(this.balloon, { force: true });
  }

  private get balloon(): string {
    return join(this.folder, 'balloon');
  }
}
