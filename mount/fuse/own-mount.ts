/**
 * The mount of a driver, seen from outside: where it is now, how it is taken away. Known by its device number, since it can
 * be moved and covered. Nothing here asks a mount that is served anything: the daemon may do all of it about its own.
 *
 * The number is ours only as long as the connection lives. The kernel gives that of a file system that is gone to the next one, be
 * it a tmpfs or another mount of lazydisk, and on a slow host that is there before the driver has noticed its own end.
 * So a mount with our number is touched only while we are connected, or when it is dead.
 */
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { holdersOf } from './holders.js';
import { FILE_SYSTEM_TYPE, isStaleMount, mountAt, readMountTable, type MountEntry } from './mount-table.js';
import { abortConnection, unmountByForce, unmountOrderly } from './unmounting.js';

/** So many holders are named in a message. */
const NAMED_HOLDERS = 5;

export class OwnMount {
  constructor(
    /** `major:minor`. */
    private readonly device: string,
    /** Whether requests can still come. */
    private readonly isConnected: () => boolean,
    private readonly log: Log,
  ) {}

  /** Unmounts, never lazily; does nothing when it is gone already. BUSY names who holds it. */
  async unmount(): Promise<void> {
    const mount = await this.find();
    if (mount === undefined || !this.isConnected()) return;
    const mountpoint = mount.mountpoint;
    if (mountAt(await readMountTable(), mountpoint)?.device !== mount.device) {
      throw new LazydiskError('BUSY', `Something else is mounted over ${mountpoint}: unmount that first.`);
    }
    try {
      await unmountOrderly(mountpoint);
    } catch (error) {
      const code = errnoOf(error);
      // Somebody else was faster.
      if (code === 'EINVAL' && (await this.find()) === undefined) return;
      if (code === 'EBUSY') throw await busy(mountpoint);
      throw new LazydiskError('IO', `The kernel refused to unmount ${mountpoint} (${messageOf(error)}).`, {
        cause: error,
      });
    }
  }

  /** Ends the connection although it is in use: requests in flight get ECONNABORTED. */
  async abort(): Promise<void> {
    const mount = await this.find();
    if (mount === undefined || !this.isConnected()) return;
    await this.force(mount);
  }

  private async force(mount: MountEntry): Promise<void> {
    const covered = mountAt(await readMountTable(), mount.mountpoint)?.device !== mount.device;
    try {
      if (covered) throw new Error(`something else is mounted over ${mount.mountpoint}`);
      await unmountByForce(mount.mountpoint, mount.device);
    } catch (error) {
      this.log.warn(`fuse: ${messageOf(error)}; the connection is aborted through /sys`);
      await abortConnection(mount.device);
    }
  }

  /**
   * After the last request: a mount that is still there was aborted from outside (or when a worker died). It is dead, and
   * is taken away; true when that was so. Never rejects.
   */
  async takeAway(): Promise<boolean> {
    let isDead = false;
    try {
      const mount = await this.find();
      isDead = mount !== undefined && (await isStaleMount(mount.mountpoint));
      if (mount !== undefined && isDead) await this.force(mount);
    } catch (error) {
      this.log.error(`fuse: the dead mount could not be taken away: ${messageOf(error)}`);
    }
    return isDead;
  }

  /** Wherever it was moved to; undefined when it is not there any more. */
  private async find(): Promise<MountEntry | undefined> {
    return (await readMountTable()).find((entry) => entry.device === this.device && entry.type === FILE_SYSTEM_TYPE);
  }
}

async function busy(mountpoint: string): Promise<LazydiskError> {
  const holders = await holdersOf(mountpoint);
  const named = holders.slice(0, NAMED_HOLDERS).join('; ');
  const others = holders.length > NAMED_HOLDERS ? `; and ${String(holders.length - NAMED_HOLDERS)} more` : '';
  const who = holders.length === 0 ? 'by a process that is not visible from here' : `${named}${others}`;
  return new LazydiskError('BUSY', `${mountpoint} is in use: ${who}.`, { facts: { mountpoint, holders } });
}
