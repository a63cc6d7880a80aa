/** `lazydisk unmount`: flushes everything and ends the daemon. Never lazily: what is in use stays mounted. */
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, LazydiskError } from '../../lib/util/errors.js';
import { clearStaleMount, FILE_SYSTEM_TYPE, isStaleMount } from '../fuse/mount-table.js';
import { ControlClient } from '../service/control-client.js';
import { mountedAt, resolveMountpoint } from '../service/mountpoint.js';
import { isRunning } from '../service/processes.js';
import type { Registry, RegistryEntry } from '../service/registry.js';
import { defineVerb } from './verb.js';

/** The daemon gives up locks and flushes after the mount is gone; a store that is away bounds that by itself. */
const END_WAIT_MS = 120_000;
/** It has nothing left to do by then. */
const SUPERVISOR_WAIT_MS = 5_000;
const POLL_MS = 20;

export const unmountVerb = defineVerb({
  command: 'unmount <mountpoint>',
  summary: 'Flush everything, unmount, and end the daemon',
  examples: [['unmount /mnt', 'says who uses the mount when it is busy']],
  options: (program) =>
    program.positional('mountpoint', { type: 'string', demandOption: true, describe: 'where it is mounted' }),
  run: async ({ mountpoint }, { output, registry }) => {
    const path = await resolveMountpoint(mountpoint);
    const outcome = await unmount(path, registry);
    output.result({ mountpoint: path, outcome }, () => SENTENCES[outcome](path));
  },
});

type Outcome = 'unmounted' | 'cleared' | 'not-mounted';

const SENTENCES: Readonly<Record<Outcome, (path: string) => string>> = {
  unmounted: (path) => `unmounted ${path}`,
  cleared: (path) => `unmounted ${path}; its daemon had ended before, and what was written is kept for the next mount`,
  'not-mounted': (path) => `nothing of lazydisk is mounted on ${path}`,
};

async function unmount(path: string, registry: Registry): Promise<Outcome> {
  const entry = await registry.findServing(path);
  if (entry !== undefined) {
    await askDaemon(entry, registry);
    return 'unmounted';
  }
  const mounted = await mountedAt(path);
  if (mounted === undefined) return 'not-mounted';
  if (mounted.type !== FILE_SYSTEM_TYPE) {
    throw new LazydiskError('USAGE', `${path} is a mount of type ${mounted.type}, not of lazydisk: use umount(8).`);
  }
  if (!(await isStaleMount(path))) {
    throw new LazydiskError(
      'NOT_FOUND',
      `The daemon of ${path} is not registered on this host: use umount(8) where it runs.`,
    );
  }
  await clearStaleMount(path);
  return 'cleared';
}

/**
 * Resolves when the daemon has flushed and forgotten the mount, and its supervisor has ended: a service manager that still found
 * it would kill it, and call the mount failed.
 */
async function askDaemon(entry: RegistryEntry, registry: Registry): Promise<void> {
  try {
    await new ControlClient(entry.socket).unmount();
  } catch (error) {
    // Somebody else's unmount was faster: the daemon is on its way out and takes no more commands.
    if (!hasCode(error, 'IO') || (await mountedAt(entry.mountpoint)) !== undefined) throw error;
  }
  const deadline = performance.now() + END_WAIT_MS;
  while (isRunning(entry) && (await registry.find(entry.mountpoint)) !== undefined) {
    if (performance.now() > deadline) {
      throw new LazydiskError(
        'BUSY',
        `${entry.mountpoint} is unmounted, but its daemon (pid ${String(entry.pid)}) is still flushing: see ${entry.stateDirectory}/daemon.log.`,
      );
    }
    await delay(POLL_MS);
  }
  const supervisorDeadline = performance.now() + SUPERVISOR_WAIT_MS;
  while (entry.supervisor !== null && isRunning(entry.supervisor) && performance.now() < supervisorDeadline) {
    await delay(POLL_MS);
  }
}
