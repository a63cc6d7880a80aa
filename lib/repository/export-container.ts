/**
 * Writes an image into a container of another hypervisor, through QEMU: what is not zero goes into it block by block, so nothing else
 * than the container is ever written. Under a temporary name until it is whole, as a raw file.
 */
import { open } from 'node:fs/promises';
import { createContainer } from '../disks/qemu.js';
import type { Bytes } from '../format/geometry.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import { replacing, writeThin } from './export-file.js';
import type { Piece } from './export-stream.js';

/** What a disk is written as, and what QEMU calls it. */
const DRIVERS = { qcow2: 'qcow2', vmdk: 'vmdk', vhdx: 'vhdx', vhd: 'vpc', vdi: 'vdi' } as const;

export type ContainerFormat = keyof typeof DRIVERS;

/** EXISTS and USAGE (the target), UNSUPPORTED (no QEMU), IO, NO_SPACE, and what `chunks` throws. */
export async function writeContainer(
  path: string,
  force: boolean,
  format: ContainerFormat,
  sizeBytes: Bytes,
  chunks: AsyncIterable<Piece>,
): Promise<true> {
  await replacing(path, force, async (temporary) => {
    const disk = await createContainer(temporary, path, DRIVERS[format], sizeBytes);
    try {
      await writeThin(async (bytes, position) => {
        await disk.client.write(position, bytes).catch((error: unknown) => {
          throw writeError(path, error);
        });
      }, chunks);
      await disk.finish();
    } finally {
      await disk.close();
    }
    const file = await open(temporary, 'r+');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  });
  return true;
}

/** QEMU passes the errno on as words. */
function writeError(path: string, error: unknown): LazydiskError {
  const said = messageOf(error);
  const code = /No space left|quota/i.test(said) ? 'NO_SPACE' : 'IO';
  return new LazydiskError(code, `${path} can't be written: ${said}.`, { cause: error });
}
