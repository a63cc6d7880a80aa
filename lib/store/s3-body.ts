/**
 * When the body of a GET is success: exactly when it is as long as what was asked for.
 *
 * The length that must come is decided from the answer's head, before a byte is read; then the body is held to it. A head
 * that can't belong to the range is the server's fault (UNSUPPORTED), one that has less of it the object's (DAMAGED), and
 * a body that breaks its head's promise is trouble on the way (an Error, which becomes UNREACHABLE).
 */
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { LazydiskError } from '../util/errors.js';
import { rangePastEnd } from './calls.js';
import type { ByteRange, OnBytes } from './object-store.js';

export interface AskedObject {
  readonly location: string;
  readonly key: string;
  /** Undefined: the whole. */
  readonly range: ByteRange | undefined;
}

/** How many bytes must come; undefined when the server did not say. Throws when they can't be those asked for. */
export function expectedSize(response: IncomingMessage | undefined, asked: AskedObject): number | undefined {
  const { location, key, range } = asked;
  const length = response?.headers['content-length'];
  const announced = length === undefined ? undefined : Number(length);
  if (range === undefined) return announced;
  if (response?.statusCode !== 206) {
    // The whole object, which is right only when it is the whole that was asked for.
    if (range.offsetBytes !== 0 || (announced ?? range.lengthBytes) !== range.lengthBytes) throw ignoredRange(asked);
    return range.lengthBytes;
  }
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.headers['content-range'] ?? '') ?? [];
  const covered = Number(last) - Number(first) + 1;
  if (Number(first) !== range.offsetBytes || !(covered <= range.lengthBytes)) throw ignoredRange(asked);
  if (covered < range.lengthBytes) throw rangePastEnd(location, key, range, total === '*' ? undefined : Number(total));
  return range.lengthBytes;
}

/** Longer than any listing of a thousand keys: three times their greatest length in percent form. */
const LONGEST_DOCUMENT_BYTES = 16 * 1024 * 1024;

/** A document in full, as text. A body that is longer than any document is trouble, before it fills the memory. */
export async function readDocument(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    sizeBytes += piece.length;
    if (sizeBytes > LONGEST_DOCUMENT_BYTES) throw new Error(`a document has more than ${LONGEST_DOCUMENT_BYTES} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/**
 * The whole body, which must be of this size when one is given. `onBytes` hears of each piece as it comes when the size is
 * known, and once at the end when it is not.
 */
export async function readBody(
  body: Readable,
  sizeBytes: number | undefined,
  onBytes: OnBytes = () => undefined,
): Promise<Buffer> {
  return sizeBytes === undefined ? readUnmeasured(body, onBytes) : readMeasured(body, sizeBytes, onBytes);
}

/** By events: an iterator costs a few promises for each piece. */
async function readMeasured(body: Readable, sizeBytes: number, onBytes: OnBytes): Promise<Buffer> {
  // Not from Node's buffer pool: the caller may transfer it to a worker.
  const whole = Buffer.allocUnsafeSlow(sizeBytes);
  let received = 0;
  const take = (piece: Buffer): void => {
    // More than was announced must not fill the memory.
    if (received + piece.length > sizeBytes) throw wrongLength(`more than ${received}`, sizeBytes);
    received += piece.copy(whole, received);
    onBytes(whole, received);
  };
  body.on('data', (piece: Buffer) => {
    if (body.destroyed) return;
    try {
      take(piece);
    } catch (error) {
      body.destroy(error as Error);
    }
  });
  await finished(body, { cleanup: true });
  if (received !== sizeBytes) throw wrongLength(String(received), sizeBytes);
  return whole;
}

async function readUnmeasured(body: Readable, onBytes: OnBytes): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of body as AsyncIterable<Buffer>) pieces.push(piece);
  const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const whole = Buffer.allocUnsafeSlow(sizeBytes);
  let at = 0;
  for (const piece of pieces) at += piece.copy(whole, at);
  if (sizeBytes > 0) onBytes(whole, sizeBytes);
  return whole;
}

function wrongLength(received: string, announced: number): Error {
  return new Error(`the body had ${received} bytes and not the announced ${announced}`);
}

function ignoredRange({ location, key, range }: AskedObject): LazydiskError {
  return new LazydiskError(
    'UNSUPPORTED',
    `The server of ${location} did not answer with the range of ${key} that was asked for: it lacks ranged GET.`,
    { facts: { location, key, ...range } },
  );
}
