/**
 * Times the reads that come to the main thread: those that a worker could not answer from what is here. Whoever counts is told
 * of each; one that took long is logged, a line a second at most, with what was read. Reads that workers answer are not timed:
 * nothing is added to their way.
 */
import type { Log } from '../../lib/util/log.js';
import { answerTo } from '../fuse/errno.js';
import { TroubleLog } from '../fuse/trouble-log.js';
import type { HeadTarget, SnapshotTarget } from './targets.js';

export interface ReadWatchParts {
  /** A read that takes so long is logged; 0: none is. */
  readonly slowMs: number;
  readonly log: Log;
  /** Told of every read when it has ended. Returns at once and does not throw. */
  readonly onRead?: ((durationMs: number) => void) | undefined;
  /** Milliseconds that only grow. */
  readonly clock?: () => number;
}

export class ReadWatch {
  private readonly slowLines: TroubleLog;
  private readonly clock: () => number;

  constructor(private readonly parts: ReadWatchParts) {
    this.slowLines = new TroubleLog(parts.log, 'warn');
    this.clock = parts.clock ?? (() => performance.now());
  }

  /** Settles as `read` does. */
  async timed(
    target: HeadTarget | SnapshotTarget,
    offset: number,
    lengthBytes: number,
    read: () => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    const startedMs = this.clock();
    try {
      const bytes = await read();
      this.ended(target, offset, lengthBytes, this.clock() - startedMs);
      return bytes;
    } catch (error) {
      this.ended(target, offset, lengthBytes, this.clock() - startedMs, answerTo(error).name);
      throw error;
    }
  }

  private ended(
    target: HeadTarget | SnapshotTarget,
    offset: number,
    lengthBytes: number,
    durationMs: number,
    errno?: string,
  ): void {
    const { slowMs, onRead } = this.parts;
    onRead?.(durationMs);
    if (slowMs === 0 || durationMs < slowMs) return;
    const file = target.kind === 'head' ? 'disk.raw' : `${String(target.number)}.raw`;
    const facts = { image: target.image, file, offset, lengthBytes, durationMs: Math.round(durationMs) };
    this.slowLines.report('A read was slow.', errno === undefined ? facts : { ...facts, errno });
  }
}
