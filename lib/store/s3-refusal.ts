/**
 * What an S3 server says when it does not do what it was asked: a small XML document, or a page, or nothing.
 *
 * Only its code, message and request id are taken from it; the rest may repeat what was signed. It is never trusted to be
 * short, whole or XML.
 */
import type { Answer } from './http-connection.js';
import { textOf } from './s3-xml.js';

/** An answer that is not success. `code` is S3's, undefined when the body had none. */
export class S3Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string | undefined,
    message: string | undefined,
    readonly amzRequestid: string | undefined,
  ) {
    super(message ?? `the answer was ${status}, without a reason`);
  }
}

/** From an answer whose body was read as far as it goes. */
export function refusalOf({ head, body }: Answer): S3Refusal {
  const text = body.toString('utf8');
  return new S3Refusal(
    head.status,
    textOf(text, 'Code'),
    textOf(text, 'Message'),
    head.headers['x-amz-request-id'] ?? textOf(text, 'RequestId'),
  );
}
