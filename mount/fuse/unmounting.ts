/**
 * Taking a mount away. As root by umount2(2), in a thread of its own: the kernel may write pages back while it unmounts; those
 * requests want answers from the main thread, which must not be the one that waits. As another user by fusermount3.
 *
 * The file of that thread is loaded when it is needed, perhaps weeks after the daemon: a package that was removed or replaced meanwhile
 * took it away. Then umount(8) makes the same call.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { MNT_DETACH, MNT_FORCE, umount2 } from '../../lib/util/syscalls.js';
import { mountsByItself, unmountByFusermount } from './fusermount.js';

/** Never lazily. Rejects with an error whose `code` is the errno name: EBUSY, EINVAL (not mounted). */
export function unmountOrderly(mountpoint: string): Promise<void> {
  return mountsByItself() ? unmountInThread(mountpoint, 0) : unmountByFusermount(mountpoint, { lazily: false });
}

/** Takes away a mount that nobody serves any more, although it may be in use. */
export async function detach(mountpoint: string): Promise<void> {
  if (mountsByItself()) umount2(mountpoint, MNT_DETACH);
  else await unmountByFusermount(mountpoint, { lazily: true });
}

/** Ends the connection of a mount (`device`: its `major:minor`), and takes it away, although it is in use. */
export async function unmountByForce(mountpoint: string, device: string): Promise<void> {
  if (mountsByItself()) {
    await unmountInThread(mountpoint, MNT_FORCE | MNT_DETACH);
    return;
  }
  await abortConnection(device);
  await unmountByFusermount(mountpoint, { lazily: true });
}

/** Requests in flight get ECONNABORTED; the dead mount stays. It is its user's right, where fusectl is mounted. */
export async function abortConnection(device: string): Promise<void> {
  await writeFile(`/sys/fs/fuse/connections/${device.slice(device.indexOf(':') + 1)}/abort`, '1');
}

/** Rejects with the error of the system call (`code` is the errno name). */
function unmountInThread(mountpoint: string, flags: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('./unmount-thread.js', import.meta.url), {
      workerData: { mountpoint, flags },
      execArgv: [],
    });
    let outcome: { code: string; message: string } | undefined;
    thread.on('message', (failure: { code: string; message: string }) => {
      outcome = failure;
    });
    thread.on('error', () => {
      unmountByProgram(mountpoint, flags).then(resolve, reject);
    });
    thread.on('exit', (status) => {
      // One that could not be loaded has said so already.
      if (status !== 0) return;
      if (outcome === undefined) resolve();
      else reject(Object.assign(new Error(outcome.message), { code: outcome.code }));
    });
  });
}

/** As `unmountInThread`. The path is taken as it is: the mount need not answer. */
function unmountByProgram(mountpoint: string, flags: number): Promise<void> {
  const words = ['--internal-only', '--no-canonicalize'];
  if ((flags & MNT_FORCE) !== 0) words.push('--force');
  if ((flags & MNT_DETACH) !== 0) words.push('--lazy');
  return new Promise((resolve, reject) => {
    execFile('umount', [...words, '--', mountpoint], { env: { ...process.env, LC_ALL: 'C' } }, (error, _out, said) => {
      if (error === null) resolve();
      else reject(Object.assign(new Error(said.trim() || error.message), { code: codeOf(said) }));
    });
  });
}

function codeOf(said: string): string {
  if (/busy/i.test(said)) return 'EBUSY';
  return /not mounted|not found|no mount point/i.test(said) ? 'EINVAL' : 'EIO';
}
