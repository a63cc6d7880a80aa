/**
 * One daemon per state directory: the lock is that of the database in it, which the kernel takes from a process that dies.
 *
 * A daemon that was killed holds it for a moment longer: the next one tries again for up to ten seconds. One that lives and whose
 * mount has gone is flushing, which takes as long as its disk takes: it is waited for a minute. When a live daemon answers for
 * the directory and its mount, the next one gives up at once.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, LazydiskError } from '../../lib/util/errors.js';
import { FILE_SYSTEM_TYPE, mountAt, readMountTable } from '../fuse/mount-table.js';
import { ControlClient } from './control-client.js';
import type { Registry, RegistryEntry } from './registry.js';

const LOCK_WAIT_MS = 10_000;
const FLUSH_WAIT_MS = 60_000;
const RETRY_MS = 50;
const ANSWER_MS = 5_000;

export interface LockWaits {
  /** For a holder that nobody knows. */
  readonly unknownMs?: number;
  /** For one that is at its end. */
  readonly flushMs?: number;
  /** Whether the kernel still has the mount of a holder. */
  readonly isMounted?: (mountpoint: string) => Promise<boolean>;
}

/** Opens the database of a state directory by `open`. BUSY: another daemon has it; the message says which. */
export async function lockState<Database>(
  stateDirectory: string,
  registry: Registry,
  open: (folder: string) => Promise<Database>,
  { unknownMs = LOCK_WAIT_MS, flushMs = FLUSH_WAIT_MS, isMounted = hasMount }: LockWaits = {},
): Promise<Database> {
  const begunMs = performance.now();
  for (;;) {
    try {
      return await open(join(stateDirectory, 'database'));
    } catch (error) {
      if (!hasCode(error, 'BUSY')) throw error;
      const holder = (await registry.list()).find((entry) => entry.stateDirectory === stateDirectory);
      const limitMs = holder === undefined ? unknownMs : flushMs;
      const serves = holder !== undefined && (await isMounted(holder.mountpoint)) && (await answers(holder));
      if (serves || performance.now() - begunMs >= limitMs) throw busy(stateDirectory, holder, error);
    }
    await delay(RETRY_MS);
  }
}

async function hasMount(mountpoint: string): Promise<boolean> {
  return mountAt(await readMountTable(), mountpoint)?.type === FILE_SYSTEM_TYPE;
}

async function answers(holder: RegistryEntry): Promise<boolean> {
  return new ControlClient(holder.socket).status(ANSWER_MS).then(
    () => true,
    () => false,
  );
}

function busy(stateDirectory: string, holder: RegistryEntry | undefined, cause: LazydiskError): LazydiskError {
  const who =
    holder === undefined
      ? 'another lazydisk process'
      : `the mount on ${holder.mountpoint} (daemon ${String(holder.pid)})`;
  return new LazydiskError(
    'BUSY',
    `The state directory ${stateDirectory} is in use by ${who}: unmount that first, or choose another with --state.`,
    {
      cause,
      facts: { stateDirectory, ...(holder === undefined ? {} : { mountpoint: holder.mountpoint, pid: holder.pid }) },
    },
  );
}
