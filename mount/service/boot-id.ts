/**
 * The boot id: two starts with the same one share a running kernel and a mounted file system, so everything that was
 * written before (and not only what was synced) is still there.
 *
 * It is made of the kernel's boot id and of what identifies this attachment of the state directory's file system: its device
 * number, the sequence number of the block device (another one each time that a disk is attached), and the number of its
 * oldest mount as process 1 sees it. Process 1's view, because a service manager may give each start of a daemon a mount
 * namespace of its own, with other numbers for the same mounts. What can't be read counts as empty. A wrong "another boot"
 * loses nothing that was synced; a wrong "same boot" could trust bytes that never reached a disk.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';

/** Environment variable by which tests pretend that the host was started again. */
export const TEST_BOOT_ID = 'LAZYDISK_TEST_BOOT_ID';

/** The id, 32 hex digits, for files under `directory`, which must exist. */
export async function currentBootId(directory: string, environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  const injected = environment[TEST_BOOT_ID];
  if (injected !== undefined && injected !== '') return digest(['injected', injected]);
  const { dev } = await stat(directory);
  const device = `${String(majorOf(dev))}:${String(minorOf(dev))}`;
  const [kernel, sequence, mountId] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    diskSequence(device),
    oldestMountId(device),
  ]);
  return digest([kernel.trim(), device, sequence, mountId]);
}

/** Partitions carry no sequence number of their own: their disk, the folder above, does. */
async function diskSequence(device: string): Promise<string> {
  for (const path of [`/sys/dev/block/${device}/diskseq`, `/sys/dev/block/${device}/../diskseq`]) {
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text !== undefined) return text.trim();
  }
  return '';
}

async function oldestMountId(device: string): Promise<string> {
  const table = await readFile('/proc/1/mountinfo', 'utf8').catch(() => '');
  const fields = table.split('\n').map((line) => line.split(' ')); // mount id, parent's id, major:minor, ...
  const ids = fields.filter((line) => line[2] === device).map((line) => Number(line[0]));
  return ids.length === 0 ? '' : String(Math.min(...ids));
}

/** The layout of dev_t in user space: 12 bits of major and 20 of minor, each split in two. */
function majorOf(dev: number): number {
  return Math.floor(dev / 2 ** 8) % 2 ** 12;
}
function minorOf(dev: number): number {
  return (dev % 2 ** 8) + (Math.floor(dev / 2 ** 20) % 2 ** 12) * 2 ** 8;
}

function digest(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}
