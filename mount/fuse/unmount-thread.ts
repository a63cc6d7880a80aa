/** The thread of unmounting.ts: one system call, and a message when it failed. */
import { parentPort, workerData } from 'node:worker_threads';
import { SystemCallError, umount2 } from '../../lib/util/syscalls.js';

const { mountpoint, flags } = workerData as { mountpoint: string; flags: number };
try {
  umount2(mountpoint, flags);
} catch (error) {
  if (!(error instanceof SystemCallError)) throw error;
  parentPort?.postMessage({ code: error.code, message: error.message });
}
