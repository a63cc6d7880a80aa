/**
 * When the body of a GET is success: exactly when it is as long as what was asked for.
 *
 * The length that must come is decided from the answer's head, before a byte is read; then the body is held to it
 * (incoming-body.ts). A head that can't belong to the range is the server's fault (UNSUPPORTED), one that has less of it the
 * object's (DAMAGED), and a body that breaks its head's promise is trouble on the way (an Error, which becomes UNREACHABLE).
 */
import { LazydiskError } from '../util/errors.js';
import { rangePastEnd } from './calls.js';
import type { AnswerHead } from './http-message.js';
import type { BodyPlan } from './incoming-body.js';
import type { ByteRange, OnBytes } from './object-store.js';

export interface AskedObject {
  readonly location: string;
  readonly key: string;
  /** Undefined: the whole. */
  readonly range: ByteRange | undefined;
}

/** How many bytes must come; undefined when the server did not say. Throws when they can't be those asked for. */
export function expectedSize({ status, headers }: AnswerHead, asked: AskedObject): number | undefined {
  const { location, key, range } = asked;
  const length = headers['content-length'];
  const announced = length === undefined ? undefined : Number(length);
  if (range === undefined) return announced;
  if (status !== 206) {
    // The whole object, which is right only when it is the whole that was asked for.
    if (range.offsetBytes !== 0 || (announced ?? range.lengthBytes) !== range.lengthBytes) throw ignoredRange(asked);
    return range.lengthBytes;
  }
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
  const covered = Number(last) - Number(first) + 1;
  if (Number(first) !== range.offsetBytes || !(covered <= range.lengthBytes)) throw ignoredRange(asked);
  if (covered < range.lengthBytes) throw rangePastEnd(location, key, range, total === '*' ? undefined : Number(total));
  return range.lengthBytes;
}

/** More than any object that lazydisk writes, where a server does not say how long one is. */
const LARGEST_OBJECT_BYTES = 256 * 1024 * 1024;
/** Longer than any listing of a thousand keys: three times their greatest length in percent form. */
const LONGEST_DOCUMENT_BYTES = 16 * 1024 * 1024;
/** Enough for any refusal of S3; a longer page is cut. */
const LONGEST_REFUSAL_BYTES = 64 * 1024;

/** The bytes of an object. */
export function objectPlan(head: AnswerHead, asked: AskedObject, onBytes: OnBytes | undefined): BodyPlan {
  const exactBytes = expectedSize(head, asked);
  return { exactBytes, atMostBytes: exactBytes ?? LARGEST_OBJECT_BYTES, otherwise: 'fail', onBytes };
}

/** A document in full. One that is longer than any is trouble, before it fills the memory. */
export const DOCUMENT: BodyPlan = { exactBytes: undefined, atMostBytes: LONGEST_DOCUMENT_BYTES, otherwise: 'fail' };

/** What says no more than the status: its beginning is enough. */
export const REMARK: BodyPlan = { exactBytes: undefined, atMostBytes: LONGEST_REFUSAL_BYTES, otherwise: 'cut' };

function ignoredRange({ location, key, range }: AskedObject): LazydiskError {
  return new LazydiskError(
    'UNSUPPORTED',
    `The server of ${location} did not answer with the range of ${key} that was asked for: it lacks ranged GET.`,
    { facts: { location, key, ...range } },
  );
}
