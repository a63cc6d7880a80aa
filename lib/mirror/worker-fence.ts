/**
 * The fence: how the main thread knows that no worker still acts on what it saw before a change.
 *
 * Each worker owns one word. It is odd while the worker serves a request, even while it is blocked in its read, and it
 * grows by one at either change. The rule on both sides, with sequentially consistent atomics:
 *   worker: store(odd), then load(gate, maps), serve, store(even)
 *   main:   store(gate) or unpublish(slot), then load the words
 * So a worker that main sees as idle, or in a later request than before, has loaded the maps after main's store. The wait
 * is polled; nothing is added to the worker's hot path but the two stores.
 */

/** Waits until what workers saw before the call can no longer be in use. */
export interface WorkerFence {
  passed(): Promise<void>;
}

/** The fence where there are no workers: a library that reads and writes on one thread. */
export const noWorkers: WorkerFence = { passed: () => Promise.resolve() };

/** One word per cache line, so that workers do not slow each other down. */
const WORDS_PER_LINE = 16;

/** The words of a set of workers, shared with them. */
export class WorkerWords implements WorkerFence {
  readonly words: Int32Array<SharedArrayBuffer>;

  constructor(readonly workers: number) {
    this.words = new Int32Array(new SharedArrayBuffer(workers * WORDS_PER_LINE * 4));
  }

  /** Index of a worker's word in `words`. */
  static indexOf(worker: number): number {
    return worker * WORDS_PER_LINE;
  }

  async passed(): Promise<void> {
    const seen: [index: number, word: number][] = [];
    for (let worker = 0; worker < this.workers; worker++) {
      const index = WorkerWords.indexOf(worker);
      const word = Atomics.load(this.words, index);
      if ((word & 1) === 1) seen.push([index, word]);
    }
    for (const [index, word] of seen) {
      for (let polls = 0; Atomics.load(this.words, index) === word; polls++) await nextTurn(polls);
    }
  }
}

/** Yields to the event loop: at once for the first polls, then for about a millisecond (a worker in a slow disk read). */
function nextTurn(polls: number): Promise<void> {
  return new Promise((resolve) => {
    if (polls < 50) setImmediate(resolve);
    else setTimeout(resolve, 1);
  });
}
