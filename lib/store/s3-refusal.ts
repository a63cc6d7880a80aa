/**
 * What an S3 server says when it does not do what it was asked: a small XML document, or a page, or nothing.
 *
 * Only its code, message and request id are taken from it; the rest may repeat what was signed. It is never trusted to be
 * short, whole or XML.
 */
import type { IncomingMessage } from 'node:http';

/** Enough for any document of S3; a longer page is cut. */
const LONGEST_DOCUMENT_BYTES = 64 * 1024;

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

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
    element(text, 'Code'),
    element(text, 'Message'),
    typeof requestId === 'string' ? requestId : element(text, 'RequestId'),
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

/** The text of the first element of this name that has only text. */
function element(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return text?.replace(/&(\w+);/g, (whole, entity: string) => ENTITIES[entity] ?? whole);
}
