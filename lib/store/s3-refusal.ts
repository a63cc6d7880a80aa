/**
 * What an S3 server says when it does not do what it was asked: a small XML document, or a page, or nothing.
 *
 * Only its code, message and request id are taken from it; the rest may repeat what was signed. It is never trusted to be
 * short, whole or XML.
 */
import type { IncomingMessage } from 'node:http';
import { textOf } from './s3-xml.js';

/** Enough for any document of S3; a longer page is cut. */
const LONGEST_DOCUMENT_BYTES = 64 * 1024;

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

/** Reads the document to its end, so that the connection can be used again. Never rejects. */
export async function readRefusal(response: IncomingMessage): Promise<S3Refusal> {
  const text = await readDocument(response);
  const requestId = response.headers['x-amz-request-id'];
  return new S3Refusal(
    response.statusCode ?? 0,
    textOf(text, 'Code'),
    textOf(text, 'Message'),
    typeof requestId === 'string' ? requestId : textOf(text, 'RequestId'),
  );
}

async function readDocument(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const piece of response as AsyncIterable<Buffer>) {
      pieces.push(piece);
      sizeBytes += piece.length;
      if (sizeBytes > LONGEST_DOCUMENT_BYTES) break;
    }
  } catch {
    // It broke off: the status says enough.
  }
  return Buffer.concat(pieces).toString('utf8');
}
