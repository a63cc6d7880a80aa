/** Bytes of tests: made from a seed, summed, compared. */
import { expect } from '@jest/globals';
import { createCipheriv, createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { must } from './processes.js';

export { seededRandom } from './seeded-random.js';

/** `lengthBytes` bytes that look random and are the same for the same seed. */
export function seededBytes(seed: number, lengthBytes: number): Buffer {
  const key = createHash('sha256')
    .update(`seed ${String(seed)}`)
    .digest()
    .subarray(0, 16);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(lengthBytes));
}

export interface Extent {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** Writes a sparse file of `sizeBytes` with data in the extents only; the bytes follow from the seed. */
export async function makeSparseFile(
  path: string,
  sizeBytes: number,
  extents: readonly Extent[],
  seed = 1,
): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.truncate(sizeBytes);
    for (const [index, { offset, lengthBytes }] of extents.entries()) {
      await writeAll(file, seededBytes(seed * 1000 + index, lengthBytes), offset);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes all bytes at the offset. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

/** Exactly `lengthBytes` from the offset, or fewer at the end of the file. */
export async function readRange(path: string, offset: number, lengthBytes: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(lengthBytes);
    let done = 0;
    while (done < lengthBytes) {
      const { bytesRead } = await file.read(bytes, done, lengthBytes - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  } finally {
    await file.close();
  }
}

/** SHA-256 of a whole file, hex. */
export async function checksumOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(part as Buffer);
  return hash.digest('hex');
}

/** Bytes that a file occupies on its disk, as du counts them. */
export async function allocatedBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}

/** As much on the disk, but for what a file system takes for its lists of extents: more of them where it is fragmented. */
export function expectSameDu(bytes: number, otherBytes: number): void {
  expect(Math.abs(bytes - otherBytes)).toBeLessThanOrEqual(16 * 1024);
}

/** One line per file of a folder: its path, size and checksum. Two trees are byte for byte the same when these are. */
export async function fingerprint(folder: string): Promise<string> {
  const list = await must('bash', [
    '-c',
    'cd "$1" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum',
    '-',
    folder,
  ]);
  const shape = await must('bash', [
    '-c',
    'cd "$1" && find . -printf "%p %y %s\\n" | grep -v " d " | sort',
    '-',
    folder,
  ]);
  return list + shape;
}
