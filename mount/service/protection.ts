/**
 * What keeps a host from ending up waiting for itself: a daemon that serves disks must not be made to wait, for memory,
 * until pages were written to those disks (a loop device on the mount), and must be the last that is killed for memory.
 *
 * Both need rights that a container often lacks; then it is logged, and the daemon works without.
 */
import { writeFileSync } from 'node:fs';
import { messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { PR_SET_IO_FLUSHER, prctl } from '../../lib/util/syscalls.js';

/** Never chosen when memory runs out, as for other daemons that hold disks. */
const OOM_SCORE = '-1000';

/** To be called before threads are started: they inherit it. */
export function protectProcess(log: Log): void {
  attempt(log, 'memory is not asked for without waiting for disks', () => prctl(PR_SET_IO_FLUSHER, 1));
  attempt(log, 'the daemon may be ended when memory runs out', () => {
    writeFileSync('/proc/self/oom_score_adj', OOM_SCORE);
  });
}

function attempt(log: Log, consequence: string, act: () => unknown): void {
  try {
    act();
  } catch (error) {
    log.info(`Not permitted here: ${consequence}.`, { reason: messageOf(error) });
  }
}
