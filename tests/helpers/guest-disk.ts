/** The file system of the guest's disk, mounted on this host while the guest does not run. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { undoLater } from './cleanup.js';
import { must, run } from './processes.js';
import { temporaryFolder } from './temporary.js';

/** Where its one partition begins. */
export const PARTITION_OFFSET = 1024 * 1024;

/** Mounts the file system of a raw disk for as long as `work` takes; `options` are more words for mount -o. */
export async function insideDisk<T>(
  disk: string,
  work: (root: string) => Promise<T>,
  options: readonly string[] = [],
): Promise<T> {
  const root = temporaryFolder('loop');
  await must('mount', ['-o', ['loop', `offset=${String(PARTITION_OFFSET)}`, ...options].join(','), disk, root]);
  const unmount = async (): Promise<void> => {
    await run('umount', [root]);
  };
  undoLater(unmount);
  const result = await work(root);
  await unmount();
  return result;
}

/** Adds words to the command line of the guest's kernel. */
export async function addKernelWords(root: string, words: string): Promise<void> {
  const bootLoader = join(root, 'boot/extlinux/extlinux.conf');
  await writeFile(bootLoader, (await readFile(bootLoader, 'utf8')).replace('quiet', `quiet ${words}`));
}
