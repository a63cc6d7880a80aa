/**
 * The planes as one worker knows them. Its event loop never turns, so it takes messages from its port itself, when the
 * shared generation says that there are some.
 *
 * The main thread posts first and raises the generation after; a message that the generation announces is therefore in the
 * queue. Should one be missing nevertheless, `refresh` says so and the request goes to the main thread: an old plane is
 * never used.
 */
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import type { Plane } from '../../lib/image/plane.js';
import type { PlaneMessage } from './worker-messages.js';

export class PlaneTable {
  private readonly planes = new Map<number, Plane>();
  private seen = 0;

  constructor(
    private readonly port: MessagePort,
    private readonly generation: Int32Array<SharedArrayBuffer>,
  ) {}

  /** To be called after saying busy, before `find`. False: the table is behind, and nothing in it may be used. */
  refresh(): boolean {
    const target = Atomics.load(this.generation, 0);
    while (this.seen !== target) {
      const received = receiveMessageOnPort(this.port) as { message: PlaneMessage } | undefined;
      if (received === undefined) return false;
      this.apply(received.message);
    }
    return true;
  }

  /** Whether nothing was published or withdrawn since the last `refresh`. */
  isCurrent(): boolean {
    return Atomics.load(this.generation, 0) === this.seen;
  }

  /** The plane of a node, unless it has none. */
  find(node: number): Plane | undefined {
    return this.planes.get(node);
  }

  private apply(message: PlaneMessage): void {
    if (message.kind === 'publish') this.planes.set(message.plane.key, message.plane);
    else this.planes.delete(message.key);
    this.seen = message.generation;
  }
}
