/**
 * One ranged GET over chunks that stand one after the other: each is handed on as soon as its bytes are here.
 *
 * A try that the source begins again fills another buffer from the start: chunks that were handed on before are not
 * handed on again, the others are cut from the new one. The end of the GET says only whether all bytes came; a missing
 * segment, or one that is too short, is damage of the repository. What the bytes are is looked at elsewhere (unpack.ts).
 */
import type { Bytes } from '../format/geometry.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { ChunkSource } from './api.js';
import type { Waiting } from './waiting.js';

/** Told of what comes; must return at once. */
export interface GetListener<W extends Waiting> {
  /** So many more bytes are here, `firstAfterMs` is set with the first ones of the GET. */
  bytes(count: Bytes, firstAfterMs: number | undefined): void;
  /** So many more bytes are to come, fewer when negative; 0 in all when the GET is over. */
  awaited(change: Bytes): void;
  /** All stored bytes of a chunk are here; they stay as they are. */
  chunk(one: W, stored: Buffer): void;
}

export class RangedGet<W extends Waiting> {
  readonly lengthBytes: Bytes;
  private readonly ends: readonly Bytes[];
  private readonly controller = new AbortController();
  private readonly beganMs = performance.now();
  private lastBytesMs = this.beganMs;
  private cameBytes: Bytes = 0;
  /** Chunks that were handed on. */
  private handed = 0;
  private isSilent = true;
  private isOver = false;

  constructor(
    private readonly source: ChunkSource,
    private readonly chunks: readonly W[],
    private readonly listener: GetListener<W>,
  ) {
    let end = 0;
    this.ends = chunks.map(({ reference }) => (end += reference.storedBytes));
    this.lengthBytes = end;
    listener.awaited(end);
  }

  /** Milliseconds since bytes came last. */
  silentMs(): number {
    return performance.now() - this.lastBytesMs;
  }

  /** Call once. Rejects with DAMAGED, ABORTED (at once when `abort` is called), and as the source does. */
  async read(): Promise<void> {
    const { segment, offsetBytes } = this.chunks[0]!.reference;
    const range = { segment, offsetBytes, lengthBytes: this.lengthBytes };
    try {
      const reading = this.source.read(range, this.controller.signal, (whole, filledBytes) => {
        if (!this.isOver) this.filled(whole, filledBytes);
      });
      const whole = await untilAborted(reading, this.controller.signal);
      this.filled(whole, whole.length);
      if (whole.length !== this.lengthBytes) {
        const came = `${String(whole.length)} of ${String(this.lengthBytes)} bytes came`;
        throw new LazydiskError('DAMAGED', `${came} from segment ${segment}`);
      }
    } finally {
      this.isOver = true;
      this.listener.awaited(this.cameBytes - this.lengthBytes);
    }
  }

  abort(): void {
    this.controller.abort();
  }

  private filled(whole: Buffer, filledBytes: Bytes): void {
    const more = filledBytes < this.cameBytes ? filledBytes : filledBytes - this.cameBytes;
    this.listener.awaited(this.cameBytes - filledBytes);
    this.cameBytes = filledBytes;
    if (more > 0) {
      this.lastBytesMs = performance.now();
      this.listener.bytes(more, this.isSilent ? this.lastBytesMs - this.beganMs : undefined);
      this.isSilent = false;
    }
    while (this.handed < this.chunks.length && this.ends[this.handed]! <= filledBytes) {
      const index = this.handed++;
      this.listener.chunk(this.chunks[index]!, whole.subarray(this.ends[index - 1] ?? 0, this.ends[index]));
    }
  }
}

/** The outcome of `work`, or ABORTED as soon as the signal fires. NOT_FOUND of a segment is damage of the repository. */
async function untilAborted(work: Promise<Buffer>, signal: AbortSignal): Promise<Buffer> {
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(new LazydiskError('ABORTED', 'The bytes are not waited for any more.'));
    };
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([work, aborted]);
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND') && error.facts['bucket'] === undefined) {
      throw new LazydiskError('DAMAGED', error.message, { cause: error });
    }
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
