/** What a snapshot writer takes: everything else is the caller's mistake, and said before anything is done. */
import { isZero } from '../format/checksums.js';
import { chunkCount, isChunkSize, MAX_IMAGE_BYTES, type ChunkNumber } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import type { SnapshotWriterOptions } from './api.js';

/** USAGE, TOO_LARGE. */
export function assertWriterOptions({ base, chunkSizeBytes, sizeBytes }: SnapshotWriterOptions): void {
  if (!isChunkSize(chunkSizeBytes)) throw new LazydiskError('USAGE', `${chunkSizeBytes} bytes is not a chunk size.`);
  if (!Number.isInteger(sizeBytes) || sizeBytes < 0) {
    throw new LazydiskError('USAGE', `${sizeBytes} is not the size of an image.`);
  }
  if (sizeBytes > MAX_IMAGE_BYTES) {
    throw new LazydiskError('TOO_LARGE', `An image has at most ${MAX_IMAGE_BYTES} bytes, not ${sizeBytes}.`);
  }
  if (base !== null && base.chunkSizeBytes !== chunkSizeBytes) {
    throw new LazydiskError('USAGE', `The base has chunks of ${base.chunkSizeBytes} bytes, not ${chunkSizeBytes}.`);
  }
}

/** One put. USAGE. */
export function assertPut(
  { chunkSizeBytes, sizeBytes }: SnapshotWriterOptions,
  chunk: ChunkNumber,
  bytes: Uint8Array | null,
): void {
  const chunks = chunkCount(sizeBytes, chunkSizeBytes);
  if (!Number.isInteger(chunk) || chunk < 0 || chunk >= chunks) {
    throw new LazydiskError('USAGE', `Chunk ${chunk} was put into an image of ${chunks} chunks.`);
  }
  if (bytes === null) return;
  if (bytes.length !== chunkSizeBytes) {
    throw new LazydiskError('USAGE', `A chunk of ${bytes.length} bytes was put where chunks have ${chunkSizeBytes}.`);
  }
  const used = sizeBytes - chunk * chunkSizeBytes;
  if (used < chunkSizeBytes && !isZero(bytes.subarray(used))) {
    throw new LazydiskError('USAGE', 'The last chunk must be padded with zeros at the end of the image.');
  }
}
