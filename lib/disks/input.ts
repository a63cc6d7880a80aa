/**
 * Bytes that come once, in order: of a file, a pipe or a URL, and what is laid around them: counted, hashed, looked at before
 * they are used, unpacked (`unpacking.ts`).
 */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { throwIfAborted } from '../util/abort.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import type { Intake } from './image-source.js';

export interface Input extends AsyncIterable<Buffer> {
  /** Ends it at any time; what waits for its bytes sees an error or the end. */
  close(): Promise<void>;
}

/** What the bytes that come must hash to. `hex` in lower case. */
export interface Checksum {
  readonly algorithm: 'sha256' | 'sha512';
  readonly hex: string;
}

/** The bytes of a stream. IO. */
export function streamInput(stream: Readable, name: string): Input {
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for await (const piece of stream as AsyncIterable<Uint8Array | string>) {
          yield typeof piece === 'string'
            ? Buffer.from(piece)
            : Buffer.from(piece.buffer, piece.byteOffset, piece.length);
        }
      } catch (error) {
        if (error instanceof LazydiskError) throw error;
        throw new LazydiskError('IO', `${name} can't be read: ${messageOf(error)}.`, { cause: error });
      }
    },
    close() {
      stream.destroy();
      return Promise.resolve();
    },
  };
}

/** Tells how much has come, and ends with ABORTED. `totalBytes`: how much will, null when nobody knows. */
export function taken(
  input: Input,
  totalBytes: number | null,
  { signal, onIntake }: { signal?: AbortSignal | undefined; onIntake?: ((intake: Intake) => void) | undefined },
): Input {
  return around(input, async function* (pieces) {
    let doneBytes = 0;
    for await (const piece of pieces) {
      throwIfAborted(signal);
      doneBytes += piece.length;
      onIntake?.({ doneBytes, totalBytes });
      yield piece;
    }
  });
}

/** DAMAGED instead of the end when the bytes do not hash to `checksum`. */
export function hashed(input: Input, name: string, { algorithm, hex }: Checksum): Input {
  return around(input, async function* (pieces) {
    const hash = createHash(algorithm);
    for await (const piece of pieces) {
      hash.update(piece);
      yield piece;
    }
    const found = hash.digest('hex');
    if (found === hex) return;
    throw new LazydiskError(
      'DAMAGED',
      `${name} is not what was expected: its ${algorithm} is ${found}, not ${hex}; nothing was imported.`,
      { facts: { algorithm, expected: hex, found } },
    );
  });
}

/** The first `lengthBytes` (or all, if there are fewer), and an input that gives everything, these included. */
export async function peek(input: Input, lengthBytes: number): Promise<{ start: Buffer; input: Input }> {
  const pieces = input[Symbol.asyncIterator]();
  const seen: Buffer[] = [];
  for (let length = 0; length < lengthBytes;) {
    const next = await pieces.next();
    if (next.done === true) break;
    seen.push(next.value);
    length += next.value.length;
  }
  const whole = around(input, async function* () {
    yield* seen.splice(0);
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) yield next.value;
  });
  return { start: Buffer.concat(seen).subarray(0, lengthBytes), input: whole };
}

/** `input` with its bytes laid through `change`. */
function around(input: Input, change: (pieces: AsyncIterable<Buffer>) => AsyncGenerator<Buffer>): Input {
  return { [Symbol.asyncIterator]: () => change(input), close: () => input.close() };
}
