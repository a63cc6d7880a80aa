/**
 * The gate of one disk: how the main thread changes what lies under the workers' feet.
 *
 *   set the gate -> wait until each worker is idle or has begun a later request -> check and change in one synchronous
 *   turn -> clear the gate
 *
 * A worker loads the gate before any map; when it is set, the request goes to the main thread. Sections of one disk queue
 * behind one another, and the gate stays set from one to the next. `change` must be synchronous: nothing is awaited
 * between its check and its change, and when it returns everything that workers need to know has been published.
 */
import type { WorkerFence } from '../mirror/worker-fence.js';
import { Turns } from '../util/turns.js';
import { CONTROL_GATE } from './plane.js';

export class Gate {
  private readonly turns = new Turns();
  private waiting = 0;

  constructor(
    private readonly control: Uint32Array<SharedArrayBuffer>,
    private readonly fence: WorkerFence,
  ) {}

  /** Runs `change` while no worker serves this disk. Rejects with what `change` throws; the gate is cleared all the same. */
  section<T>(change: () => T): Promise<T> {
    this.waiting++;
    Atomics.store(this.control, CONTROL_GATE, 1);
    return this.turns.take(async () => {
      try {
        await this.fence.passed();
        return change();
      } finally {
        this.waiting--;
        if (this.waiting === 0) Atomics.store(this.control, CONTROL_GATE, 0);
      }
    });
  }
}
