/**
 * The second driver: through the package fuse-native and libfuse 2, for systems where /dev/fuse can't be spoken to directly.
 *
 * It has no workers: every request goes through the file system on the main thread, so the fence is always passed and planes
 * are of no use. libfuse 2 knows no fallocate and no lseek, so there is no discard and no telling holes from data; all else
 * is as with the kernel driver, within the limits that native/options.ts and native/module.ts tell.
 *
 * The package's own unmount is lazy and needs fusermount; it is not used. We unmount as the kernel driver does, which ends
 * libfuse's loop, and serving has ended when libfuse has closed the device.
 */
import { closeSync } from 'node:fs';
import type { PlaneFeed } from '../../lib/image/plane.js';
import { noWorkers } from '../../lib/mirror/worker-fence.js';
import { LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { openDevice } from './device.js';
import type { Driver, DriverStatistics, EndReason, MountOptions } from './driver.js';
import type { FileSystem } from './file-system.js';
import { mountsByItself } from './fusermount.js';
import { FILE_SYSTEM_TYPE, mountAt, readMountTable } from './mount-table.js';
import { checkMountpoint } from './mountpoint-check.js';
import { fuseDescriptors, whenClosed } from './native/device-watch.js';
import { loadFuseNative, type NativeMount } from './native/module.js';
import { nativeOperations, type NativeCounters } from './native/operations.js';
import { nativeOptions } from './native/options.js';
import { Requests } from './native/requests.js';
import { OwnMount } from './own-mount.js';
import { TroubleLog } from './trouble-log.js';
import { withResolvers } from './with-resolvers.js';

/** So much longer than the store is waited for, a request may take. */
const DEADLINE_MARGIN_MS = 30_000;

export interface NativeDriverSettings {
  /** How long the layers below wait for a store that is away; 0: for ever. */
  readonly outageMs: number;
  readonly log: Log;
}

export function createNativeDriver({ outageMs, log }: NativeDriverSettings): Driver {
  return new Native(outageMs === 0 ? 0 : outageMs + DEADLINE_MARGIN_MS, log);
}

class Native implements Driver {
  readonly name = 'fuse-native';
  readonly fence = noWorkers;
  readonly planes: PlaneFeed = { publish: () => undefined, withdraw: () => undefined };
  readonly ended: Promise<EndReason>;
  private readonly end: (reason: EndReason) => void;
  private readonly requests: Requests;
  private readonly counters: NativeCounters = { waitingReads: 0 };
  private mount: OwnMount | undefined;

  constructor(
    deadlineMs: number,
    private readonly log: Log,
  ) {
    this.requests = new Requests(deadlineMs, new TroubleLog(log));
    const { promise, resolve } = withResolvers<EndReason>();
    this.ended = promise;
    this.end = resolve;
  }

  warmUp(): void {
    // It has no threads of ours.
  }

  discard(): void {
    // It holds nothing before its start, and nothing after its end.
  }

  async start(fileSystem: FileSystem, options: MountOptions): Promise<void> {
    if (!mountsByItself()) {
      throw new LazydiskError(
        'UNSUPPORTED',
        'The driver fuse-native is for root: leave out --driver, or run it as root.',
      );
    }
    const mountpoint = await checkMountpoint(options.mountpoint);
    const Native = await loadFuseNative();
    closeSync(openDevice()); // what is wrong with it is said better here
    const argument = nativeOptions(options);
    const native = new Native(mountpoint, nativeOperations(fileSystem, this.requests, this.counters), {
      timeout: false,
    });
    native._fuseOptions = () => argument;
    const before = fuseDescriptors();
    await mounted(native, mountpoint);
    const entry = mountAt(await readMountTable(), mountpoint);
    const descriptor = [...fuseDescriptors()].find((open) => !before.has(open));
    if (entry?.type !== FILE_SYSTEM_TYPE || descriptor === undefined) {
      throw new LazydiskError('CONFLICT', `The mount on ${mountpoint} was taken away or covered while it was made.`);
    }
    const mount = new OwnMount(entry.device, () => fuseDescriptors().has(descriptor), this.log);
    this.mount = mount;
    void whenClosed(descriptor).then(() => this.finish(mount));
  }

  async unmount(): Promise<void> {
    await this.mount?.unmount();
  }

  async abort(): Promise<void> {
    await this.mount?.abort();
    // libfuse's loop ends when its threads do, and those wait for answers.
    this.requests.abandon();
  }

  statistics(): DriverStatistics {
    return {
      workers: 0,
      threads: 0,
      localReads: 0,
      localReadBytes: 0,
      localWrites: 0,
      localWriteBytes: 0,
      forwarded: this.requests.count,
      waitingReads: this.counters.waitingReads,
    };
  }

  private async finish(mount: OwnMount): Promise<void> {
    this.requests.abandon();
    const error = new Error('The FUSE connection was aborted from outside.');
    this.end((await mount.takeAway()) ? { kind: 'failed', error } : { kind: 'unmounted' });
  }
}

/** Resolves when the kernel's first request has been answered. */
function mounted(native: NativeMount, mountpoint: string): Promise<void> {
  return new Promise((resolve, reject) => {
    native.mount((error) => {
      if (error === null) resolve();
      else {
        const message = `libfuse could not mount on ${mountpoint} (${messageOf(error)}).`;
        reject(new LazydiskError('UNSUPPORTED', message, { cause: error }));
      }
    });
  });
}
