/**
 * The default driver: speaks the FUSE protocol on /dev/fuse. Workers (worker.ts) read all requests and serve the data that
 * is here; what they hand over is dispatched to the file system on the main thread.
 *
 * Opening and mounting (device.ts) is apart from serving: `start` does both, `serve` only the second, on a descriptor that
 * somebody else mounted.
 *
 * Serving ends when the kernel says so (ENODEV to every worker): unmounted by us, by umount(8), or aborted. A worker that
 * dies ends it too, since nobody would know what it left behind: where another driver can follow, this one makes way for
 * it (Succession); else the connection is aborted, and `ended` says failed.
 */
import { closeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { isPastUse } from '../../lib/util/syscalls.js';
import { connectionOf, mountDevice, resendRequests, type Connection, type MountedDevice } from './device.js';
import { Dispatcher } from './dispatcher.js';
import type { Driver, DriverStatistics, EndReason, MountOptions } from './driver.js';
import type { FileSystem } from './file-system.js';
import type { FeatureSet } from './protocol/init.js';
import { OpenRecords } from './open-records.js';
import { OwnMount } from './own-mount.js';
import { backingFiles, Passthrough } from './passthrough.js';
import { extendReadahead } from './readahead.js';
import { Replies } from './replies.js';
import { RequestRecords, type RecordDatabase } from './request-records.js';
import { TroubleLog } from './trouble-log.js';
import { withResolvers } from './with-resolvers.js';
import { WorkerPool } from './worker-pool.js';
import { COUNT_FORWARDED, COUNT_READ_BYTES, COUNT_READS, COUNT_WRITE_BYTES, COUNT_WRITES } from './worker-messages.js';

/**
 * A worker that reads from a slow disk serves nobody else meanwhile, so their number bounds what one slow disk holds up. More
 * than cores cost nothing when all is in memory (docs/PERFORMANCE.md).
 */
const LEAST_WORKERS = 8;
const MOST_WORKERS = 64;
/** How long who waits for requests to be served waits for what is open to be found again. */
const ADOPT_MS = 500;

export interface KernelDriverSettings {
  /** Threads; as many as there are cores by default, and at least eight. */
  readonly workers?: number | undefined;
  /** How long after the mount the second one starts, milliseconds (worker-pool.ts). */
  readonly othersAfterMs?: number | undefined;
  readonly log: Log;
  /** What this driver is to do without although the kernel offers it: for tests, and where a kernel is faulty. */
  readonly without?: FeatureSet | undefined;
  /** Absent: the mount lives and dies with this process. */
  readonly succession?: Succession | undefined;
}

/** The place of a driver among those that serve one mount, one after the other. */
export interface Succession {
  /**
   * Of /dev/fuse; somebody else holds it too, until no driver is to follow. undefined: the first driver brings one with its
   * mount, and `connected` passes on a copy.
   */
  readonly descriptor: number | undefined;
  /** The mount of the driver before this one; null: the first, it mounts. */
  readonly connection: Connection | null;
  /** What becomes of the requests that the one before had taken: they are served, or get EIO. */
  readonly resent: 'serve' | 'refuse';
  /** Where drivers of one mount leave word for each other. */
  readonly database: RecordDatabase;
  /** The mount is there: when this resolves, others can follow if `isSecured` says so. */
  connected(connection: Connection, descriptor: number): Promise<void>;
  /** Whether another driver can follow. */
  readonly isSecured: boolean;
  /** This driver can't go on. The next one takes over when this process has ended, which is to be at once. */
  succumb(error: Error): void;
}

/** A driver whose two halves can be used apart. */
export interface KernelDriver extends Driver {
  /** Serves what was mounted (`mountDevice`), and owns the descriptor from now on. Resolves when requests are answered. */
  serve(mounted: MountedDevice, fileSystem: FileSystem): Promise<void>;
}

export function createKernelDriver(settings: KernelDriverSettings): KernelDriver {
  const { workers = defaultWorkers(), othersAfterMs, log, without, succession } = settings;
  const pool = new WorkerPool(workers, { resent: succession?.resent, othersAfterMs });
  return new Kernel(pool, log, without, succession);
}

function defaultWorkers(): number {
  return Math.min(Math.max(LEAST_WORKERS, availableParallelism()), MOST_WORKERS);
}

/** Before the first request is served, unless that takes long: what comes late is open until the mount ends. */
async function adoptOpens(fileSystem: FileSystem, opens: OpenRecords): Promise<void> {
  const adopting = [...opens.earlierOpens()].map(async ({ node, handle, count }) => {
    await fileSystem.adopt?.(node, handle, count);
  });
  if (adopting.length > 0) await Promise.race([Promise.all(adopting), delay(ADOPT_MS, undefined, { ref: false })]);
}

class Kernel implements KernelDriver {
  readonly name = 'kernel';
  readonly ended: Promise<EndReason>;
  private readonly end: (reason: EndReason) => void;
  private mount: OwnMount | undefined;
  private dispatcher: Dispatcher | undefined;
  private failure: Error | undefined;
  /** All workers are gone, and the descriptor is closed. */
  private isOver = false;

  constructor(
    private readonly pool: WorkerPool,
    private readonly log: Log,
    private readonly without: FeatureSet | undefined,
    private readonly succession: Succession | undefined,
  ) {
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

  warmUp(): void {
    this.pool.warmUp();
  }

  discard(): void {
    if (this.mount === undefined) this.pool.close();
  }

  async start(fileSystem: FileSystem, options: MountOptions): Promise<void> {
    const { succession } = this;
    if (succession === undefined || succession.connection === null) {
      const mounted = await mountDevice(options, { opened: succession?.descriptor, without: this.without });
      await succession?.connected(connectionOf(mounted), mounted.descriptor);
      await this.serve(mounted, fileSystem);
      return;
    }
    const { descriptor, connection } = succession;
    if (descriptor === undefined) throw new Error('there is a mount, and nobody holds its descriptor');
    resendRequests(descriptor);
    await this.serve({ ...connection, descriptor }, fileSystem);
  }

  async serve(mounted: MountedDevice, fileSystem: FileSystem): Promise<void> {
    if (this.mount !== undefined) throw new LazydiskError('CONFLICT', 'A driver serves one mount in its life.');
    this.mount = new OwnMount(mounted.device, () => !this.isOver && !isPastUse(mounted.descriptor), this.log);
    const { requests, opens } = await this.openRecords(mounted);
    if (opens !== undefined) await adoptOpens(fileSystem, opens);
    const replies = new Replies(mounted.descriptor, this.log);
    const trouble = new TroubleLog(this.log);
    const passthrough = new Passthrough(backingFiles(mounted), this.log, opens);
    const dispatcher = new Dispatcher(fileSystem, replies, passthrough, this.log, trouble, requests);
    this.dispatcher = dispatcher;
    const { ready, ended } = this.pool.start(mounted.descriptor, {
      request: (bytes) => void dispatcher.handle(bytes),
      trouble: (message) => {
        trouble.report(`fuse: ${message}`);
      },
      failed: (error) => {
        this.fail(error);
      },
    });
    void ended.then(() => this.finish(mounted, replies, dispatcher));
    extendReadahead(mounted.device, this.log);
    try {
      await ready;
    } catch (error) {
      throw this.failure ?? error;
    }
  }

  async unmount(): Promise<void> {
    await this.mount?.unmount();
  }

  async abort(): Promise<void> {
    await this.mount?.abort();
  }

  statistics(): DriverStatistics {
    return {
      workers: this.pool.workers,
      threads: this.pool.threads,
      localReads: this.pool.count(COUNT_READS),
      localReadBytes: this.pool.count(COUNT_READ_BYTES),
      localWrites: this.pool.count(COUNT_WRITES),
      localWriteBytes: this.pool.count(COUNT_WRITE_BYTES),
      forwarded: this.pool.count(COUNT_FORWARDED),
      waitingReads: this.dispatcher?.waitingReads ?? 0,
    };
  }

  /** What is kept for those who may follow. */
  private async openRecords({
    id,
    negotiated,
  }: MountedDevice): Promise<{ requests?: RequestRecords; opens?: OpenRecords }> {
    if (this.succession === undefined || !negotiated.canResend) return {};
    const { database } = this.succession;
    return { requests: await RequestRecords.open(database, id), opens: await OpenRecords.open(database, id) };
  }

  private fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    const { succession } = this;
    if (succession?.isSecured === true) {
      this.log.error(`fuse: a worker died: ${messageOf(error)}; the next daemon takes over`);
      succession.succumb(error);
      return;
    }
    this.log.error(`fuse: a worker died: ${messageOf(error)}; the mount ends`);
    this.abort().catch((reason: unknown) => {
      this.log.error(`fuse: the connection could not be aborted: ${messageOf(reason)}`);
    });
  }

  /** All workers are gone, so nobody reads from the device any more. */
  private async finish(mounted: MountedDevice, replies: Replies, dispatcher: Dispatcher): Promise<void> {
    replies.close();
    this.isOver = true;
    try {
      closeSync(mounted.descriptor);
    } catch (error) {
      this.log.error(`fuse: the device could not be closed: ${messageOf(error)}`);
    }
    dispatcher.abandon();
    if (await this.mount?.takeAway()) this.failure ??= new Error('The FUSE connection was aborted from outside.');
    this.end(this.failure === undefined ? { kind: 'unmounted' } : { kind: 'failed', error: this.failure });
  }
}
