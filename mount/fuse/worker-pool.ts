/**
 * The workers of a mount, seen from the main thread: their words (the fence), their planes (the feed), their counters.
 *
 * Everything that is shared exists before a thread does, so that the catalogue can be built with the fence and the feed
 * before anything is mounted. What is published before a thread starts waits in its port, in order, and its word says idle: a
 * thread that comes late finds all planes before it serves anything (plane-table.ts), and nobody waits for it till then.
 *
 * To start a thread takes a processor 35 ms, and a mount waits for its first one only. So that one can be started ahead
 * (`warmUp`): it loads while the store answers, and waits for the device. The others follow a while after the mount, one after
 * the other: in its first seconds a guest boots, and wants the processor itself.
 *
 * A worker ends by itself when the file system is unmounted. One that ends by an error is a failure of the whole.
 */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import type { Plane, PlaneFeed } from '../../lib/image/plane.js';
import { WorkerWords } from '../../lib/mirror/worker-fence.js';
import { shortenTurns } from '../../lib/util/syscalls.js';
import { withResolvers } from './with-resolvers.js';
import { COUNTERS, deviceWord, NO_DEVICE, type PlaneMessage } from './worker-messages.js';
import type { WorkerMessage, WorkerStart } from './worker-messages.js';

export interface PoolHandlers {
  request(bytes: Uint8Array): void;
  trouble(message: string): void;
  /** A worker has died; called at the first one, while others may still serve. */
  failed(error: Error): void;
}

export interface PoolOptions {
  /** What becomes of requests that an earlier daemon had taken: they are served, the default, or get EIO. */
  readonly resent?: 'serve' | 'refuse' | undefined;
  /** How long after the mount the second thread starts, milliseconds. */
  readonly othersAfterMs?: number | undefined;
}

interface Seat {
  readonly counters: Float64Array<SharedArrayBuffer>;
  readonly ours: MessagePort;
  readonly theirs: MessagePort;
}

/** How long after the mount the second thread starts by default, and each one after the one before, milliseconds. */
const OTHERS_AFTER_MS = 2000;
const BETWEEN_OTHERS_MS = 200;

export class WorkerPool implements PlaneFeed {
  readonly fence: WorkerWords;
  private readonly generation = new Int32Array(new SharedArrayBuffer(4));
  /** One word: what the threads wait for. */
  private readonly device = new Int32Array(new SharedArrayBuffer(4));
  private readonly seats: readonly Seat[];
  private readonly ready = withResolvers<undefined>();
  private readonly ended = withResolvers<undefined>();
  private handlers: PoolHandlers | undefined;
  private failure: Error | undefined;
  private startedThreads = 0;
  private living = 0;
  private next: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    readonly workers: number,
    private readonly options: PoolOptions = {},
  ) {
    this.fence = new WorkerWords(workers);
    this.seats = Array.from({ length: workers }, () => {
      const { port1, port2 } = new MessageChannel();
      const counters = new Float64Array(new SharedArrayBuffer(COUNTERS * Float64Array.BYTES_PER_ELEMENT));
      return { counters, ours: port1, theirs: port2 };
    });
  }

  publish(plane: Plane): void {
    this.send((generation) => ({ kind: 'publish', generation, plane }));
  }

  withdraw(key: number): void {
    this.send((generation) => ({ kind: 'withdraw', generation, key }));
  }

  /** Starts the first thread, before there is a device. A pool that is warm and never started has to be closed. */
  warmUp(): void {
    if (this.startedThreads === 0) this.startThread();
  }

  /**
   * Lets the threads serve the device. `ready` resolves when the first is about to read from it, and rejects when it ended
   * before; `ended` resolves when all are gone.
   */
  start(device: number, handlers: PoolHandlers): { ready: Promise<void>; ended: Promise<void> } {
    this.handlers = handlers;
    this.warmUp();
    if (this.failure !== undefined) handlers.failed(this.failure);
    this.giveDevice(device);
    this.startNextAfter(this.options.othersAfterMs ?? OTHERS_AFTER_MS);
    const ended = this.ended.promise.then(() => {
      this.close();
    });
    const ready = Promise.race([
      this.ready.promise,
      ended.then(() => Promise.reject(new Error('The workers ended before they served anything.'))),
    ]);
    return { ready, ended };
  }

  /** Threads that were started so far. */
  get threads(): number {
    return this.startedThreads;
  }

  /** The sum of one counter over the workers. */
  count(counter: number): number {
    return this.seats.reduce((sum, { counters }) => sum + counters[counter]!, 0);
  }

  /** Nothing is sent any more. For a pool that has ended, or was never started. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.next);
    if (this.handlers === undefined) this.giveDevice(NO_DEVICE);
    for (const { ours } of this.seats) ours.close();
  }

  /** Posts first, then raises the generation: whoever sees the generation finds the message in its queue. */
  private send(messageFor: (generation: number) => PlaneMessage): void {
    if (this.closed) return;
    const generation = (Atomics.load(this.generation, 0) + 1) | 0;
    const message = messageFor(generation);
    for (const { ours } of this.seats) ours.postMessage(message);
    Atomics.store(this.generation, 0, generation);
  }

  private giveDevice(device: number): void {
    Atomics.store(this.device, 0, deviceWord(device));
    Atomics.notify(this.device, 0);
  }

  private startNextAfter(delayMs: number): void {
    if (this.startedThreads === this.workers) return;
    this.next = setTimeout(() => {
      this.startThread();
      this.startNextAfter(BETWEEN_OTHERS_MS);
    }, delayMs);
  }

  private startThread(): void {
    const index = this.startedThreads++;
    const seat = this.seats[index]!;
    const start: WorkerStart = {
      device: this.device,
      refusesResent: this.options.resent === 'refuse',
      port: seat.theirs,
      wordIndex: WorkerWords.indexOf(index),
      words: this.fence.words,
      generation: this.generation,
      counters: seat.counters,
    };
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      name: `lazydisk worker ${String(index)}`,
      workerData: start,
      // Options of the parent are about its own script.
      execArgv: [],
      transferList: [seat.theirs],
    });
    this.living++;
    seat.ours.on('message', (message: WorkerMessage) => {
      if (message.kind === 'request') this.handlers?.request(message.bytes);
      else if (message.kind === 'trouble') this.handlers?.trouble(message.message);
      else this.isReady(message.threadId);
    });
    worker.on('error', (error) => {
      this.failure ??= error;
      this.handlers?.failed(error);
    });
    worker.on('exit', () => {
      this.left(start.wordIndex);
    });
  }

  /** A guest waits for its thread: that must not queue behind what a commit computes on the same processor. */
  private isReady(threadId: number): void {
    try {
      shortenTurns(threadId);
    } catch {
      // It only waits longer.
    }
    this.ready.resolve(undefined);
  }

  /** A thread has gone, so the file system has: no other one starts. */
  private left(wordIndex: number): void {
    clearTimeout(this.next);
    // One that died in the middle of a request left its word odd: nobody may wait for it any more.
    const word = Atomics.load(this.fence.words, wordIndex);
    if ((word & 1) === 1) Atomics.store(this.fence.words, wordIndex, (word + 1) | 0);
    this.living--;
    if (this.living === 0) this.ended.resolve(undefined);
  }
}
