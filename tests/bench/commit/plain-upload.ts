/** The rival of commit and import: as many bytes as they sent, put by a plain parallel upload that does nothing else. */
import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';
import { forEachAtOnce } from '../parallel.js';
import { plainClient, type S3Access } from '../s3.js';

const OBJECT_BYTES = 16 * 1024 * 1024;
const AT_ONCE = 8;
const BLOCK_BYTES = 1024 * 1024;

/** Seconds for bytes that are in memory. */
export async function plainUploadSeconds(access: S3Access, bucket: string, totalBytes: number): Promise<number> {
  const bytes = randomFillSync(Buffer.alloc(Math.min(OBJECT_BYTES, totalBytes)));
  const sizes = Array.from({ length: Math.ceil(totalBytes / OBJECT_BYTES) }, (_, index) =>
    Math.min(OBJECT_BYTES, totalBytes - index * OBJECT_BYTES),
  );
  const client = plainClient(access, AT_ONCE);
  const began = performance.now();
  try {
    await forEachAtOnce(sizes.entries(), AT_ONCE, async ([index, sizeBytes]) => {
      await client.put(bucket, `plain/${String(index)}`, bytes.subarray(0, sizeBytes));
    });
  } finally {
    client.close();
  }
  return (performance.now() - began) / 1000;
}

/** Seconds for what is allocated of a sparse file, read while it goes up; `bytes` is what went. */
export async function plainUploadOfFile(
  access: S3Access,
  bucket: string,
  path: string,
): Promise<{ seconds: number; bytes: number }> {
  const file = await open(path, 'r');
  const client = plainClient(access, AT_ONCE);
  const began = performance.now();
  let bytes = 0;
  try {
    const { size } = await file.stat();
    const zeros = Buffer.alloc(BLOCK_BYTES);
    const starts = Array.from({ length: Math.ceil(size / OBJECT_BYTES) }, (_, index) => index * OBJECT_BYTES);
    await forEachAtOnce(starts, AT_ONCE, async (start) => {
      const piece = Buffer.alloc(Math.min(OBJECT_BYTES, size - start));
      await file.read(piece, 0, piece.length, start);
      const kept: Buffer[] = [];
      for (let at = 0; at < piece.length; at += BLOCK_BYTES) {
        const block = piece.subarray(at, at + BLOCK_BYTES);
        if (!block.equals(zeros.subarray(0, block.length))) kept.push(block);
      }
      if (kept.length === 0) return;
      const body = Buffer.concat(kept);
      bytes += body.length;
      await client.put(bucket, `plain-file/${String(start)}`, body);
    });
  } finally {
    client.close();
    await file.close();
  }
  return { seconds: (performance.now() - began) / 1000, bytes };
}
