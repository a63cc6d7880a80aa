/** The driver that a mount was asked for. */
import type { Log } from '../../lib/util/log.js';
import type { Driver } from '../fuse/driver.js';
import { createKernelDriver, type Succession } from '../fuse/kernel-driver.js';
import { createNativeDriver } from '../fuse/native-driver.js';
import { parseFeatures } from '../fuse/protocol/init.js';
import type { MountSettings } from '../service/settings.js';

/** Environment variable with the FUSE features to do without (mount/fuse/protocol/init.ts). */
const WITHOUT_VARIABLE = 'LAZYDISK_FUSE_WITHOUT';

export function createDriver(
  { driver, workers, timeoutMs }: MountSettings,
  environment: NodeJS.ProcessEnv,
  log: Log,
  succession: Succession | undefined,
): Driver {
  return driver === 'kernel'
    ? createKernelDriver({
        workers: workers ?? undefined,
        log,
        without: parseFeatures(environment[WITHOUT_VARIABLE] ?? ''),
        succession,
      })
    : createNativeDriver({ outageMs: timeoutMs, log });
}
