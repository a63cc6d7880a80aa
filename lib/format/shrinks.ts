/**
 * Whether a payload is worth compressing, guessed from a part of it: encrypted and compressed files, which no codec shrinks,
 * are most of what some guests write, and trying takes a way to another thread and memory for a frame that is thrown away.
 *
 * Pieces from all over the payload are put side by side and compressed, here, without another thread. The guess errs to
 * one side: what it calls hopeless would hardly have shrunk (docs/decisions/0020-commit.md).
 */
import { compress } from '../util/zstd/zstd.js';
import type { Bytes } from './geometry.js';

const PIECES = 8;
const PIECE_BYTES: Bytes = 1024;
const SAMPLE_BYTES = PIECES * PIECE_BYTES;

/** A sample that shrinks to more than this part: a whole payload, with more context, may shrink a little further. */
const HOPELESS = 31 / 32;

/** False: the payload will not shrink by a part that counts. True: it may. */
export async function mayShrink(payload: Uint8Array, level: number): Promise<boolean> {
  // The sample of a small payload would be most of it.
  if (payload.length < 4 * SAMPLE_BYTES) return true;
  const sample = Buffer.allocUnsafe(SAMPLE_BYTES);
  const step = (payload.length - PIECE_BYTES) / (PIECES - 1);
  for (let piece = 0; piece < PIECES; piece++) {
    const from = Math.floor(piece * step);
    sample.set(payload.subarray(from, from + PIECE_BYTES), piece * PIECE_BYTES);
  }
  return (await compress(sample, level)).length < SAMPLE_BYTES * HOPELESS;
}
