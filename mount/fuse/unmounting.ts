/**
 * umount2(2) in a thread of its own. The kernel may write pages back while it unmounts; those requests want answers from
 * the main thread, which must not be the one that waits.
 */
import { Worker } from 'node:worker_threads';

/** Rejects with the error of the system call (`code` is the errno name). */
export function unmountInThread(mountpoint: string, flags: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./unmount-thread.js', import.meta.url), {
      workerData: { mountpoint, flags },
      execArgv: [],
    });
    let outcome: { code: string; message: string } | undefined;
    thread.on('message', (failure: { code: string; message: string }) => {
      outcome = failure;
    });
    thread.on('error', reject);
    thread.on('exit', () => {
      if (outcome === undefined) resolve();
      else reject(Object.assign(new Error(outcome.message), { code: outcome.code }));
    });
  });
}
