/**
 * Chunks whose bytes are here wait in line to be made chunks again, the most urgent first.
 *
 * Decoding, hashing and writing a chunk is half a millisecond of this thread (docs/decisions/0019-taking-in-chunks.md says why not of
 * another one). So the work is done in slices, between which readers and the network have their turn: a slice ends after
 * `SLICE_MS`, in the middle of no chunk. While one chunk waits for something (room, a slow disk, a thread for a large one) the next
 * ones go on, up to `AT_ONCE`, which bounds the memory of decoded chunks.
 */
import type { FetchPriority } from './api.js';
import { PRIORITIES } from './priority.js';

const SLICE_MS = 3;
/** 4 MiB of decoded bytes each at most. */
const AT_ONCE = 8;

export class HandlingLine {
  private readonly lines: Readonly<Record<FetchPriority, (() => Promise<void>)[]>> = {
    demand: [],
    readahead: [],
    prefetch: [],
    eager: [],
    fill: [],
  };
  private running = 0;
  private isTurnComing = false;
  private sliceEndMs = 0;

  /** Settles as the work does, which begins when its turn has come. */
  handle<T>(work: () => Promise<T>, priority: FetchPriority): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.lines[priority].push(() => work().then(resolve, reject));
      this.comeAgain();
    });
  }

  private comeAgain(): void {
    if (this.isTurnComing) return;
    this.isTurnComing = true;
    setImmediate(() => {
      this.isTurnComing = false;
      this.sliceEndMs = performance.now() + SLICE_MS;
      this.next();
    });
  }

  private next(): void {
    const line = PRIORITIES.find((priority) => this.lines[priority].length > 0);
    if (line === undefined || this.running >= AT_ONCE) return;
    if (performance.now() >= this.sliceEndMs) {
      this.comeAgain();
      return;
    }
    const start = this.lines[line].shift()!;
    this.running++;
    void start().finally(() => {
      this.running--;
      this.next();
    });
    // Whatever this one waits for, the next one does not wait for it.
    this.comeAgain();
  }
}
