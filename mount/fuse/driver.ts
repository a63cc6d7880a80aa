/**
 * What the service needs of a driver. The kernel driver speaks the FUSE protocol on /dev/fuse in worker threads; the
 * fuse-native driver fits behind the same interface: it has no workers, so its fence is always passed and its plane
 * feed does nothing, and every request goes through the FileSystem.
 */
import type { PlaneFeed } from '../../lib/image/plane.js';
import type { WorkerFence } from '../../lib/mirror/worker-fence.js';
import type { FileSystem } from './file-system.js';

export interface MountOptions {
  readonly mountpoint: string;
  /** Shown as the source in /proc/mounts: the repository. */
  readonly source: string;
  readonly allowOther: boolean;
  readonly readOnly: boolean;
  /** No file of the mount can be run as a program. Absent: it can, as modes allow. */
  readonly noExec?: boolean;
  /** Absent or null: what the host's policy says. Of no meaning on a host without SELinux. */
  readonly selinuxContext?: string | null;
}

/** Why serving ended. */
export type EndReason = { readonly kind: 'unmounted' } | { readonly kind: 'failed'; readonly error: Error };

/** Counters since the start, summed over workers. */
export interface DriverStatistics {
  readonly workers: number;
  /** Of the workers, those that were started: the others follow a while after the mount. */
  readonly threads: number;
  readonly localReads: number;
  readonly localReadBytes: number;
  readonly localWrites: number;
  readonly localWriteBytes: number;
  readonly forwarded: number;
  /** READ requests that wait for the main thread now. */
  readonly waitingReads: number;
}

export interface Driver {
  readonly name: 'kernel' | 'fuse-native';
  /** Known before anything is mounted: the catalogue is built with them. */
  readonly fence: WorkerFence;
  readonly planes: PlaneFeed;

  /** Begins what needs no mount, so that `start` takes less. May be left out. */
  warmUp(): void;
  /** Gives up a driver that was not started, or has ended. */
  discard(): void;
  /**
   * Mounts and serves. Resolves when requests are being answered. LazydiskError when that can't be: the kernel lacks what
   * is needed, not root, the mountpoint is not an empty folder.
   */
  start(fileSystem: FileSystem, options: MountOptions): Promise<void>;
  /** Resolves once when serving has ended, for whatever reason. */
  readonly ended: Promise<EndReason>;
  /** Asks the kernel to unmount, never lazily. BUSY when files are open. After success `ended` resolves. */
  unmount(): Promise<void>;
  /** Ends the connection although it is in use: requests in flight get ECONNABORTED. */
  abort(): Promise<void>;
  statistics(): DriverStatistics;
}
