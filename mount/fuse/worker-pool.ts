/**
 * The workers of a mount, seen from the main thread: their words (the fence), their planes (the feed), their counters.
 *
 * Everything that is shared exists before a thread does, so that the catalogue can be built with the fence and the feed
 * before anything is mounted. What is published before the start waits in the ports.
 *
 * A worker ends by itself when the file system is unmounted. One that ends by an error is a failure of the whole.
 */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import type { Plane, PlaneFeed } from '../../lib/image/plane.js';
import { WorkerWords } from '../../lib/mirror/worker-fence.js';
import { COUNTERS, type PlaneMessage, type WorkerMessage, type WorkerStart } from './worker-messages.js';

export interface PoolHandlers {
  request(bytes: Uint8Array): void;
  trouble(message: string): void;
  /** A worker has died; called at the first one, while others may still serve. */
  failed(error: Error): void;
}

interface Seat {
  readonly counters: Float64Array<SharedArrayBuffer>;
  readonly ours: MessagePort;
  readonly theirs: MessagePort;
}

export class WorkerPool implements PlaneFeed {
  readonly fence: WorkerWords;
  private readonly generation = new Int32Array(new SharedArrayBuffer(4));
  private readonly seats: readonly Seat[];
  private closed = false;

  constructor(readonly workers: number) {
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

  /**
   * Starts the threads on the device. `ready` resolves when all are about to read from it, and rejects when they ended
   * before; `ended` resolves when all are gone.
   */
  start(
    device: number,
    resent: 'serve' | 'refuse',
    handlers: PoolHandlers,
  ): { ready: Promise<void>; ended: Promise<void> } {
    const started = this.seats.map((seat, index) => this.startWorker(seat, index, device, resent, handlers));
    const ended = Promise.all(started.map((worker) => worker.ended)).then(() => {
      this.close();
    });
    const ready = Promise.race([
      Promise.all(started.map((worker) => worker.ready)).then(() => undefined),
      ended.then(() => Promise.reject(new Error('The workers ended before they served anything.'))),
    ]);
    return { ready, ended };
  }

  /** The sum of one counter over the workers. */
  count(counter: number): number {
    return this.seats.reduce((sum, { counters }) => sum + counters[counter]!, 0);
  }

  /** Nothing is sent any more. For a pool that has ended, or was never started. */
  close(): void {
    this.closed = true;
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

  private startWorker(seat: Seat, index: number, device: number, resent: 'serve' | 'refuse', handlers: PoolHandlers) {
    const start: WorkerStart = {
      device,
      refusesResent: resent === 'refuse',
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
    const ready = new Promise<void>((resolve) => {
      seat.ours.on('message', (message: WorkerMessage) => {
        if (message.kind === 'request') handlers.request(message.bytes);
        else if (message.kind === 'trouble') handlers.trouble(message.message);
        else resolve();
      });
    });
    const ended = new Promise<void>((resolve) => {
      worker.on('error', handlers.failed);
      worker.on('exit', () => {
        // A thread that died in the middle of a request left its word odd: nobody may wait for it any more.
        const word = Atomics.load(this.fence.words, start.wordIndex);
        if ((word & 1) === 1) Atomics.store(this.fence.words, start.wordIndex, (word + 1) | 0);
        resolve();
      });
    });
    return { ready, ended };
  }
}
