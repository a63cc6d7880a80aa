/** A disk of its own for a test, mounted at a folder, whose power can fail (volatile-disk.ts says what that takes away). */
import { execFileSync, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { undoLater } from '../helpers/cleanup.js';
import { temporaryFolder } from '../helpers/temporary.js';
import type { Answer, Order } from './disk-process.js';
import type { Loss } from './volatile-disk.js';

const PROGRAM = resolve('.cache/power/disk-process.cjs');

export class PowerDisk {
  private orders = Promise.resolve<unknown>(undefined);
  private mounts = 0;

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  static start(): PowerDisk {
    const entry = resolve('tests/power/disk-process.ts');
    const words = ['--bundle', '--platform=node', '--format=cjs', '--external:koffi', '--log-level=error'];
    execFileSync('node_modules/.bin/esbuild', [entry, ...words, `--outfile=${PROGRAM}`]);
    const folder = temporaryFolder('power');
    const child = fork(PROGRAM, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [] });
    undoLater(async () => {
      if (!child.connected) return;
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    });
    return new PowerDisk(child, folder);
  }

  /** Mounts what is on the disk at a new folder. */
  async mount(): Promise<string> {
    const mountpoint = join(this.folder, String(this.mounts++));
    mkdirSync(mountpoint);
    await this.order({ kind: 'mount', mountpoint });
    return mountpoint;
  }

  /** The power will fail at the n-th change from now on, counted from 0. */
  async failAfter(changes: number, loss: Loss, seed: number): Promise<void> {
    await this.order({ kind: 'fail-after', changes, loss, seed });
  }

  /** Whether the power has failed. */
  async hasFailed(): Promise<boolean> {
    return (await this.order({ kind: 'ask' })).failed;
  }

  /** Changes so far: what `failAfter` counts. */
  async changes(): Promise<number> {
    return (await this.order({ kind: 'ask' })).changes;
  }

  /** The end of this power: the mount is gone, and the next `mount` shows what has survived. */
  async lose(loss: Loss, seed: number): Promise<void> {
    await this.order({ kind: 'lose', loss, seed });
  }

  /** From now on these fail instead of being done; replaces those of before. */
  async inject(...injections: Extract<Order, { kind: 'inject' }>['injections']): Promise<void> {
    await this.order({ kind: 'inject', injections });
  }

  private order(order: Order): Promise<Answer> {
    const answered = this.orders.then(async () => {
      const over = new AbortController();
      const wait = { signal: over.signal };
      const gone = once(this.child, 'exit', wait).then(() => Promise.reject(new Error('the power disk has died')));
      const reply = once(this.child, 'message', wait) as Promise<[Answer]>;
      this.child.send(order);
      const [answer] = await Promise.race([reply, gone]).finally(() => over.abort());
      if (answer.error !== undefined) throw new Error(`the power disk can't ${order.kind}: ${answer.error}`);
      return answer;
    });
    this.orders = answered.catch(() => undefined);
    return answered;
  }
}
