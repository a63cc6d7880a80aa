/**
 * Reading a disk on the main thread: what is here is read at once, what is missing is fetched first.
 *
 * A read is prepared (its chunks fetched and held), then tried again from the start on the plane as it is then, and
 * answered without an await between the check and the read. So a base or a layer that changed meanwhile is seen. A local disk that
 * fails is told to who reads, once: the chunk is fetched anew for the next one.
 */
import { BLOCK_SIZE } from '../format/geometry.js';
import type { ChunkNumber } from '../format/geometry.js';
import { throwIfAborted } from '../util/abort.js';
import type { Base } from './base.js';
import type { Plane } from './plane.js';
import type { TransientChunks } from './serve.js';
import { isFromBase, MISS, readHere } from './serve.js';

/** What a disk looks like at this moment. */
export interface DiskView {
  readonly plane: Plane;
  readonly base: Base;
  readonly sizeBytes: number;
}

/** Keeps a base's map alive while something is under way on it. */
export type HoldBase = (base: Base) => () => void;

/** Reads up to `lengthBytes`, fewer only at the end of the disk. */
export async function readDisk(
  view: () => DiskView,
  hold: HoldBase,
  offset: number,
  lengthBytes: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const out = Buffer.allocUnsafe(lengthBytes);
  for (;;) {
    const { plane, base, sizeBytes } = view();
    const count = Math.max(0, Math.min(lengthBytes, sizeBytes - offset));
    if (count === 0) return Buffer.alloc(0);
    if (readOrDisown(plane, base, offset, count, out, undefined) !== MISS) return out.subarray(0, count);

    const letGo = hold(base);
    try {
      const chunks = baseChunks(plane, offset, offset + count);
      base.noteMiss(chunks);
      const lease = await base.ensure(chunks, signal);
      try {
        const now = view();
        const same = now.base === base && now.sizeBytes >= offset + count;
        const transient = (chunk: ChunkNumber) => lease.transient(chunk);
        if (same && readOrDisown(now.plane, base, offset, count, out, transient) !== MISS)
          return out.subarray(0, count);
      } finally {
        lease.release();
      }
    } finally {
      letGo();
    }
    throwIfAborted(signal);
  }
}

/** `readHere`; slots in which the local disk fails are given up before the error goes on. */
export function readOrDisown(
  plane: Plane,
  base: Base,
  offset: number,
  lengthBytes: number,
  out: Buffer,
  transient: TransientChunks | undefined,
): number {
  try {
    return readHere(plane, offset, lengthBytes, out, 0, transient);
  } catch (error) {
    base.disown(error);
    throw error;
  }
}

/** The chunks of the base that a range shows through its layers. */
export function baseChunks(plane: Plane, offset: number, end: number): ChunkNumber[] {
  const chunks: ChunkNumber[] = [];
  const { chunkSizeBytes, layers } = plane;
  for (let chunk = Math.floor(offset / chunkSizeBytes); chunk * chunkSizeBytes < end; chunk++) {
    const from = Math.max(offset, chunk * chunkSizeBytes);
    const to = Math.min(end, (chunk + 1) * chunkSizeBytes);
    for (let block = Math.floor(from / BLOCK_SIZE); block * BLOCK_SIZE < to; block++) {
      if (!isFromBase(layers, block)) continue;
      chunks.push(chunk);
      break;
    }
  }
  return chunks;
}
