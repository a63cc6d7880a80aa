/**
 * How far the kernel reads ahead in files of a mount. Its default for FUSE is 128 KiB, and INIT can only make it less; the
 * setting of the mount's backing device in /sys can make it more.
 *
 * More asks for several chunks at once in a cold sequential read, which saves a quarter of the requests to the store; with
 * 1 MiB it outruns our own readahead and costs more of them (docs/PERFORMANCE.md). Random reads and O_DIRECT don't see it.
 */
import { writeFileSync } from 'node:fs';
import { messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';

const READAHEAD_KIB = 512;

/** Best effort: where /sys is read-only (containers), the kernel's default stays. `device` is `major:minor` of the mount. */
export function extendReadahead(device: string, log: Log): void {
  try {
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, String(READAHEAD_KIB));
  } catch (error) {
    log.info(`fuse: the kernel's readahead stays as it is: ${messageOf(error)}`);
  }
}
