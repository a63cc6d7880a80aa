/**
 * Times the reads that come to the main thread: those that a worker could not answer from what is here. Whoever counts is told
 * of each; one that failed or took long is logged, a line a second at most, with what was read. Reads that workers answer are not timed:
 * nothing is added to their way.
 */
import { messageOf } from '../../lib/util/errors.js';
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

/** A read that has begun. */
interface AskedRead {
  readonly target: HeadTarget | SnapshotTarget;
  readonly offset: number;
  readonly lengthBytes: number;
  readonly startedMs: number;
}

export class ReadWatch {
  private readonly slowLines: TroubleLog;
  private readonly failedLines: TroubleLog;
  /** Those that have not ended, the oldest first. */
  private readonly waiting = new Set<AskedRead>();
  private readonly clock: () => number;

  constructor(private readonly parts: ReadWatchParts) {
    this.slowLines = new TroubleLog(parts.log, 'warn');
    this.failedLines = new TroubleLog(parts.log, 'error');
    this.clock = parts.clock ?? (() => performance.now());
  }

  /** For how long the read waits that has waited longest, milliseconds; 0: none does. */
  longestWaitMs(): number {
    const [oldest] = this.waiting;
    return oldest === undefined ? 0 : this.clock() - oldest.startedMs;
  }

  /** Settles as `read` does. */
  async timed(
    target: HeadTarget | SnapshotTarget,
    offset: number,
    lengthBytes: number,
    read: () => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    const asked: AskedRead = { target, offset, lengthBytes, startedMs: this.clock() };
    this.waiting.add(asked);
    try {
      const bytes = await read();
      this.ended(asked);
      return bytes;
    } catch (error) {
      this.ended(asked, error);
      throw error;
    }
  }

  private ended(asked: AskedRead, error?: unknown): void {
    this.waiting.delete(asked);
    const { target, offset, lengthBytes, startedMs } = asked;
    const { slowMs, onRead } = this.parts;
    const durationMs = this.clock() - startedMs;
    onRead?.(durationMs);
    const file = target.kind === 'head' ? 'disk.raw' : `${String(target.number)}.raw`;
    const facts = { image: target.image, file, offset, lengthBytes, durationMs: Math.round(durationMs) };
    const answer = error === undefined ? undefined : answerTo(error);
    if (answer?.worthLogging === true) {
      this.failedLines.report('A read failed.', { ...facts, errno: answer.name, error: messageOf(error) });
    } else if (slowMs !== 0 && durationMs >= slowMs) {
      this.slowLines.report('A read was slow.', answer === undefined ? facts : { ...facts, errno: answer.name });
    }
  }
}
