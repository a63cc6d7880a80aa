/**
 * The default driver: speaks the FUSE protocol on /dev/fuse. Workers (worker.ts) read all requests and serve the data that
 * is here; what they hand over is dispatched to the file system on the main thread.
 *
 * Opening and mounting (device.ts) is apart from serving: `start` does both, `serve` only the second, on a descriptor that
 * somebody else mounted.
 *
 * Serving ends when the kernel says so (ENODEV to every worker): unmounted by us, by umount(8), or aborted. A worker that
 * dies ends it too, since nobody would know what it left behind: the connection is aborted, and `ended` says failed.
 */
import { closeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { MNT_DETACH, MNT_FORCE } from '../../lib/util/syscalls.js';
import { mountDevice, type MountedDevice } from './device.js';
import { Dispatcher } from './dispatcher.js';
import type { Driver, DriverStatistics, EndReason, MountOptions } from './driver.js';
import type { FileSystem } from './file-system.js';
import { holdersOf } from './holders.js';
import { mountAt, readMountTable, type MountEntry } from './mount-table.js';
import { Replies } from './replies.js';
import { unmountInThread } from './unmounting.js';
import { WorkerPool } from './worker-pool.js';
import { COUNT_FORWARDED, COUNT_READ_BYTES, COUNT_READS, COUNT_WRITE_BYTES, COUNT_WRITES } from './worker-messages.js';

/** With fewer, a few slow reads of the local disk would hold up everything else. */
const LEAST_WORKERS = 4;
/** So many holders are named in a message. */
const NAMED_HOLDERS = 5;

export interface KernelDriverSettings {
  /** Threads; as many as there are cores by default, and at least four. */
  readonly workers?: number;
  readonly log: Log;
}

/** A driver whose two halves can be used apart. */
export interface KernelDriver extends Driver {
  /** Serves what was mounted (`mountDevice`), and owns the descriptor from now on. Resolves when requests are answered. */
  serve(mounted: MountedDevice, fileSystem: FileSystem): Promise<void>;
}

export function createKernelDriver(settings: KernelDriverSettings): KernelDriver {
  return new Kernel(settings.workers ?? Math.max(LEAST_WORKERS, availableParallelism()), settings.log);
}

class Kernel implements KernelDriver {
  readonly name = 'kernel';
  readonly ended: Promise<EndReason>;
  private readonly pool: WorkerPool;
  private readonly end: (reason: EndReason) => void;
  private mounted: MountedDevice | undefined;
  private dispatcher: Dispatcher | undefined;
  private failure: Error | undefined;

  constructor(
    workers: number,
    private readonly log: Log,
  ) {
    this.pool = new WorkerPool(workers);
    const { promise, resolve } = withResolvers<EndReason>();
    this.ended = promise;
    this.end = resolve;
  }

  get fence() {
    return this.pool.fence;
  }

  get planes() {
    return this.pool;
  }

  async start(fileSystem: FileSystem, options: MountOptions): Promise<void> {
    await this.serve(await mountDevice(options), fileSystem);
  }

  async serve(mounted: MountedDevice, fileSystem: FileSystem): Promise<void> {
    if (this.mounted !== undefined) throw new LazydiskError('CONFLICT', 'A driver serves one mount in its life.');
    this.mounted = mounted;
    const replies = new Replies(mounted.descriptor, this.log);
    const dispatcher = new Dispatcher(fileSystem, replies, this.log);
    this.dispatcher = dispatcher;
    const { ready, ended } = this.pool.start(mounted.descriptor, {
      request: (bytes) => void dispatcher.handle(bytes),
      trouble: (message) => {
        dispatcher.trouble(`fuse: ${message}`);
      },
      failed: (error) => {
        this.fail(error);
      },
    });
    void ended.then(() => this.finish(mounted, replies, dispatcher));
    try {
      await ready;
    } catch (error) {
      throw this.failure ?? error;
    }
  }

  async unmount(): Promise<void> {
    const mount = await this.ownMount();
    if (mount === undefined) return;
    const mountpoint = mount.mountpoint;
    if (mountAt(await readMountTable(), mountpoint)?.device !== mount.device) {
      throw new LazydiskError('BUSY', `Something else is mounted over ${mountpoint}: unmount that first.`);
    }
    try {
      await unmountInThread(mountpoint, 0);
    } catch (error) {
      const code = errnoOf(error);
      // Somebody else was faster.
      if (code === 'EINVAL' && (await this.ownMount()) === undefined) return;
      if (code === 'EBUSY') throw await this.busy(mountpoint);
      throw new LazydiskError('IO', `The kernel refused to unmount ${mountpoint} (${messageOf(error)}).`, {
        cause: error,
      });
    }
  }

  async abort(): Promise<void> {
    const mount = await this.ownMount();
    if (mount === undefined) return;
    const covered = mountAt(await readMountTable(), mount.mountpoint)?.device !== mount.device;
    try {
      if (covered) throw new Error(`something else is mounted over ${mount.mountpoint}`);
      await unmountInThread(mount.mountpoint, MNT_FORCE | MNT_DETACH);
    } catch (error) {
      this.log.warn(`fuse: ${messageOf(error)}; the connection is aborted through /sys`);
      const minor = mount.device.slice(mount.device.indexOf(':') + 1);
      await writeFile(`/sys/fs/fuse/connections/${minor}/abort`, '1');
    }
  }

  statistics(): DriverStatistics {
    return {
      workers: this.pool.workers,
      localReads: this.pool.count(COUNT_READS),
      localReadBytes: this.pool.count(COUNT_READ_BYTES),
      localWrites: this.pool.count(COUNT_WRITES),
      localWriteBytes: this.pool.count(COUNT_WRITE_BYTES),
      forwarded: this.pool.count(COUNT_FORWARDED),
      waitingReads: this.dispatcher?.waitingReads ?? 0,
    };
  }

  private fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.log.error(`fuse: a worker died: ${messageOf(error)}; the mount ends`);
    this.abort().catch((reason: unknown) => {
      this.log.error(`fuse: the connection could not be aborted: ${messageOf(reason)}`);
    });
  }

  /** All workers are gone, so nobody reads from the device any more. */
  private async finish(mounted: MountedDevice, replies: Replies, dispatcher: Dispatcher): Promise<void> {
    replies.close();
    try {
      closeSync(mounted.descriptor);
    } catch (error) {
      this.log.error(`fuse: the device could not be closed: ${messageOf(error)}`);
    }
    dispatcher.abandon();
    // A mount that is still there was aborted from outside (or when a worker died): it is dead, and is taken away.
    if (await this.isMounted()) {
      this.failure ??= new Error('The FUSE connection was aborted from outside.');
      await this.abort().catch((error: unknown) => {
        this.log.error(`fuse: the dead mount could not be taken away: ${messageOf(error)}`);
      });
    }
    this.end(this.failure === undefined ? { kind: 'unmounted' } : { kind: 'failed', error: this.failure });
  }

  private async isMounted(): Promise<boolean> {
    try {
      return (await this.ownMount()) !== undefined;
    } catch (error) {
      this.log.error(`fuse: the mount table can't be read: ${messageOf(error)}`);
      return false;
    }
  }

  /** Our mount, wherever it was moved to; undefined when it is not there any more. */
  private async ownMount(): Promise<MountEntry | undefined> {
    const device = this.mounted?.device;
    if (device === undefined) return undefined;
    return (await readMountTable()).find((entry) => entry.device === device);
  }

  private async busy(mountpoint: string): Promise<LazydiskError> {
    const holders = await holdersOf(mountpoint);
    const named = holders.slice(0, NAMED_HOLDERS).join('; ');
    const others = holders.length > NAMED_HOLDERS ? `; and ${String(holders.length - NAMED_HOLDERS)} more` : '';
    const who = holders.length === 0 ? 'by a process that is not visible from here' : `${named}${others}`;
    return new LazydiskError('BUSY', `${mountpoint} is in use: ${who}.`, { facts: { mountpoint, holders } });
  }
}

/** As Promise.withResolvers of later versions. */
function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
