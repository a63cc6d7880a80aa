/**
 * The process that holds a VolatileDisk, apart from the one under test, which makes system calls that block.
 *
 * It is told what to do by messages of its parent (power-disk.ts), and answers each. The power fails at a change that was
 * chosen before, or when it is asked what is left: from that moment on the disk still answers, but nothing reaches it.
 */
import { seededRandom } from '../helpers/seeded-random.js';
import { DiskServer, type Injection } from './disk-server.js';
import { VolatileDisk, type Loss } from './volatile-disk.js';

/** What the parent asks for; each is answered with an Answer. */
export type Order =
  | { readonly kind: 'mount'; readonly mountpoint: string }
  /** The power fails before the n-th change from now on. */
  | { readonly kind: 'fail-after'; readonly changes: number; readonly loss: Loss; readonly seed: number }
  /** Whether it has failed, and how many changes there were. */
  | { readonly kind: 'ask' }
  /** The power fails now, unless it has; the old mount goes, and the disk is what survived. */
  | { readonly kind: 'lose'; readonly loss: Loss; readonly seed: number }
  | { readonly kind: 'inject'; readonly injections: readonly (Omit<Injection, 'name'> & { readonly name: string })[] };

export interface Answer {
  readonly failed: boolean;
  readonly changes: number;
  /** Why the order was not carried out. */
  readonly error?: string;
}

let disk = new VolatileDisk();
let server: DiskServer | undefined;
let survivor: VolatileDisk | undefined;
let armed: Extract<Order, { kind: 'fail-after' }> | undefined;
let changes = 0;
const injections: Injection[] = [];

const beforeChange = (): void => {
  if (armed !== undefined && survivor === undefined && changes >= armed.changes) fail(armed);
  changes++;
};

function fail({ loss, seed }: { readonly loss: Loss; readonly seed: number }): void {
  survivor = disk.afterPowerLoss(loss, seededRandom(seed));
}

async function obey(order: Order): Promise<void> {
  switch (order.kind) {
    case 'mount':
      server = await DiskServer.mount(disk, order.mountpoint, { beforeChange, injections });
      return;
    case 'fail-after':
      armed = { ...order, changes: changes + order.changes };
      return;
    case 'ask':
      return;
    case 'lose':
      if (survivor === undefined) fail(order);
      server?.detach();
      disk = survivor!;
      [survivor, armed, server] = [undefined, undefined, undefined];
      return;
    case 'inject':
      injections.splice(
        0,
        injections.length,
        ...order.injections.map((one) => ({ ...one, name: new RegExp(one.name) })),
      );
  }
}

process.on('message', (order: Order) => {
  obey(order)
    .then(
      () => ({}),
      (error: unknown) => ({ error: String(error) }),
    )
    .then((result) => process.send!({ failed: survivor !== undefined, changes, ...result } satisfies Answer))
    .catch(() => process.kill(process.pid, 'SIGKILL'));
});
process.on('disconnect', () => {
  server?.detach();
  // An exit would wait for reads of devices.
  process.kill(process.pid, 'SIGKILL');
});
