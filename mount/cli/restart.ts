/** `lazydisk restart`: another daemon, of the version that is asked, takes over a mount in use. */
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LazydiskError } from '../../lib/util/errors.js';
import { ControlClient } from '../service/control-client.js';
import type { Registry, RegistryEntry } from '../service/registry.js';
import { defineVerb, MOUNTPOINT } from './verb.js';
import { requireMount } from './where.js';

/** A daemon starts in less than a second; one that waits for its store says ready after a few. */
const TAKE_OVER_MS = 60_000;
const POLL_MS = 20;
const DAEMON_PROGRAM = fileURLToPath(new URL('./daemon-main.js', import.meta.url));

export const restartVerb = defineVerb({
  command: 'restart <mountpoint>',
  summary: 'Let a new daemon take over a mount, while it is in use: after an upgrade',
  examples: [['restart /mnt', 'guests see a pause, and no error']],
  options: (program) => program.positional('mountpoint', MOUNTPOINT),
  run: async ({ mountpoint }, { output, registry }) => {
    const mount = await requireMount(mountpoint, registry, 'restart', 'a repository has no daemon');
    await new ControlClient(mount.socket).restart(DAEMON_PROGRAM);
    const { pid: daemonPid, program } = await successorOf(mount, registry);
    if (program !== DAEMON_PROGRAM) {
      throw new LazydiskError(
        'IO',
        `The new daemon could not serve ${mountpoint}: one of the former program goes on (${String(program)}); ` +
          `${mount.stateDirectory}/daemon.log says why.`,
        { facts: { mountpoint: mount.mountpoint, daemonPid, program } },
      );
    }
    output.result(
      { mountpoint: mount.mountpoint, daemonPid, formerPid: mount.pid },
      () => `daemon ${String(daemonPid)} has taken over ${mount.mountpoint}`,
    );
  },
});

/** The next daemon, once it serves. */
async function successorOf(former: RegistryEntry, registry: Registry): Promise<RegistryEntry> {
  const deadlineMs = performance.now() + TAKE_OVER_MS;
  while (performance.now() < deadlineMs) {
    const entry = await registry.find(former.mountpoint);
    if (entry === undefined) break;
    if (entry.pid !== former.pid) return entry;
    await delay(POLL_MS);
  }
  throw new LazydiskError(
    'IO',
    `No daemon has taken over ${former.mountpoint}: see ${former.stateDirectory}/daemon.log; mount it again if it is gone.`,
  );
}
