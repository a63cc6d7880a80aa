/**
 * Waiting for what a dying daemon still holds.
 *
 * A daemon that was killed, or that is flushing, keeps the lock of its state directory for a moment longer. The next one
 * tries again for up to ten seconds; it gives up at once when a live daemon answers for the directory.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../../lib/util/errors.js';

export const LOCK_WAIT_MS = 10_000;
const RETRY_MS = 50;

/**
 * Calls `open` until it succeeds, fails with something else than BUSY, `serves` says that the holder is alive and well, or
 * the time is over; then the last BUSY is thrown.
 */
export async function waitWhileBusy<T>(
  open: () => Promise<T>,
  serves: () => Promise<boolean>,
  waitMs = LOCK_WAIT_MS,
): Promise<T> {
  const deadline = Date.now() + waitMs;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!hasCode(error, 'BUSY') || Date.now() >= deadline || (await serves())) throw error;
    }
    await delay(RETRY_MS);
  }
}
