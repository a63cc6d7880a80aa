/**
 * Writes an image into a stream, zeros included, at the pace of its reader. The stream stays open: it may be standard
 * output. A reader that goes away (`lazydisk export … - | head`) is no error.
 */
import { once } from 'node:events';
import { finished, type Writable } from 'node:stream';
import type { Bytes } from '../format/geometry.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import { throwIfAborted } from './single-flight.js';

/** Zeros between chunks are sent in pieces of this size. */
const ZEROS = Buffer.alloc(256 * 1024);

/** A part of an image that is not zero. Pieces come in the order of the image. */
export interface Piece {
  readonly offset: Bytes;
  readonly bytes: Buffer;
}

/** Whether all was taken: false when the reader went away (`export … - | head`), which is no error. */
export async function writeStream(
  stream: Writable,
  sizeBytes: Bytes,
  chunks: AsyncIterable<Piece>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  // An error after the end has been told or does not matter, but without a listener it would end the process.
  stream.on('error', () => undefined);
  const outcome: { error?: unknown; ended: boolean } = { ended: false };
  const cleanup = finished(stream, { readable: false }, (error) => {
    outcome.error = error ?? undefined;
    outcome.ended = true;
  });
  const send = async (bytes: Buffer): Promise<void> => {
    if (outcome.ended) throw outcome.error ?? new ReaderGone();
    if (bytes.length === 0 || stream.write(bytes)) return;
    await drained(stream);
  };
  let position = 0;
  const zerosUntil = async (offset: number): Promise<void> => {
    while (position < offset) {
      throwIfAborted(signal);
      const lengthBytes = Math.min(ZEROS.length, offset - position);
      await send(ZEROS.subarray(0, lengthBytes));
      position += lengthBytes;
    }
  };
  try {
    for await (const { offset, bytes } of chunks) {
      await zerosUntil(offset);
      await send(bytes);
      position += bytes.length;
    }
    await zerosUntil(sizeBytes);
    await flushed(stream);
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error instanceof LazydiskError
      ? error
      : new LazydiskError('IO', `The output can't be written: ${messageOf(error)}.`, { cause: error });
  } finally {
    cleanup();
  }
}

class ReaderGone extends Error {}

/** `drain`, or the end of the stream, whichever comes first. */
async function drained(stream: Writable): Promise<void> {
  const stop = new AbortController();
  try {
    const ended = once(stream, 'close', { signal: stop.signal }).then(() => {
      throw new ReaderGone();
    });
    await Promise.race([once(stream, 'drain', { signal: stop.signal }), ended]);
  } finally {
    stop.abort();
  }
}

/** All bytes have left. The stream stays open: it may be standard output. */
function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(Buffer.alloc(0), (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

function isGone(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return (
    error instanceof ReaderGone ||
    code === 'EPIPE' ||
    code === 'ERR_STREAM_PREMATURE_CLOSE' ||
    code === 'ERR_STREAM_DESTROYED'
  );
}
