/**
 * How many bytes of slots the mirror may use: the quota, or by default what leaves 10 % of the file system free.
 *
 * The default is asked of the file system (statfs) again after a second, or after 64 MiB were written, whichever is first: cheap
 * enough to be asked before every allocation. It counts the mirror's own bytes as available, so evicting does not move it.
 * On a disk that others have filled, a small working set stays allowed; a full disk is then met as ENOSPC (keeper.ts).
 */
import { statfs } from 'node:fs/promises';
import type { Bytes } from '../format/geometry.js';

const FREE_SHARE = 0.1;
const REFRESH_MS = 1000;
const REFRESH_BYTES = 64 * 1024 * 1024;
/** What the default never goes below, unless that is more than half of the file system. */
const SMALLEST_DEFAULT = 256 * 1024 * 1024;

export class SpaceLimit {
  private limitBytes = 0;
  private refreshedMs = Number.NEGATIVE_INFINITY;
  private writtenBytes = 0;
  private asking: Promise<void> = Promise.resolve();

  /** `quotaBytes` null: the default. */
  constructor(
    private readonly directory: string,
    private readonly quotaBytes: Bytes | null,
  ) {}

  /** What the slots may occupy, given what they do. */
  async current(usedBytes: Bytes): Promise<Bytes> {
    if (this.quotaBytes !== null) return this.quotaBytes;
    const nowMs = performance.now();
    if (nowMs - this.refreshedMs > REFRESH_MS || this.writtenBytes > REFRESH_BYTES) {
      this.refreshedMs = nowMs;
      this.writtenBytes = 0;
      this.asking = this.ask(usedBytes);
    }
    // Who comes while the first answer is under way waits for it: without one there would seem to be no room at all.
    await this.asking;
    return this.limitBytes;
  }

  /** The last answer, without asking. */
  last(): Bytes {
    return this.quotaBytes ?? (this.refreshedMs > 0 ? this.limitBytes : Number.POSITIVE_INFINITY);
  }

  wrote(bytes: Bytes): void {
    this.writtenBytes += bytes;
  }

  private async ask(usedBytes: Bytes): Promise<void> {
    const { bavail, blocks, bsize } = await statfs(this.directory);
    const totalBytes = blocks * bsize;
    const floorBytes = Math.min(SMALLEST_DEFAULT, totalBytes / 2);
    this.limitBytes = Math.max(floorBytes, usedBytes + bavail * bsize - FREE_SHARE * totalBytes);
  }
}
