/**
 * One daemon per state directory: the lock is that of the database in it, which the kernel takes from a process that dies.
 *
 * A daemon that was killed, or that is flushing, holds it for a moment longer: the next one tries again for up to ten
 * seconds, and gives up at once when a live daemon answers for the directory.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, LazydiskError } from '../../lib/util/errors.js';
import { ControlClient } from './control-client.js';
import type { Registry, RegistryEntry } from './registry.js';

const LOCK_WAIT_MS = 10_000;
const RETRY_MS = 50;
const ANSWER_MS = 5_000;

/** Opens the database of a state directory by `open`. BUSY: another daemon has it; the message says which. */
export async function lockState<Database>(
  stateDirectory: string,
  registry: Registry,
  open: (folder: string) => Promise<Database>,
  waitMs = LOCK_WAIT_MS,
): Promise<Database> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    try {
      return await open(join(stateDirectory, 'database'));
    } catch (error) {
      if (!hasCode(error, 'BUSY')) throw error;
      const holder = (await registry.list()).find((entry) => entry.stateDirectory === stateDirectory);
      const isOver = performance.now() >= deadline;
      if (holder === undefined ? isOver : isOver || (await answers(holder))) throw busy(stateDirectory, holder, error);
    }
    await delay(RETRY_MS);
  }
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
