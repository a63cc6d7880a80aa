/**
 * What of a request's payload is signed.
 *
 * Over TLS nothing: the connection guards the bytes, and hashing them again would cost a core for each 1.7 GB/s. Over plain
 * HTTP their SHA-256, so that nobody on the way can change them unseen; off this thread when they are many.
 */
import { createHash, webcrypto } from 'node:crypto';
import { EMPTY_PAYLOAD_HASH, UNSIGNED_PAYLOAD } from './s3-signature.js';

/** Below this, hashing here is cheaper than the way to another thread. */
const HASH_HERE_BYTES = 32 * 1024;

/** What to give the signer for this body. */
export async function payloadHashOf(body: Uint8Array | undefined, secure: boolean): Promise<string> {
  if (body === undefined) return EMPTY_PAYLOAD_HASH;
  if (secure) return UNSIGNED_PAYLOAD;
  // Bytes that threads share can't be given to web crypto.
  if (body.length <= HASH_HERE_BYTES || !(body.buffer instanceof ArrayBuffer)) {
    return createHash('sha256').update(body).digest('hex');
  }
  const digest = await webcrypto.subtle.digest('SHA-256', body as Uint8Array<ArrayBuffer>);
  return Buffer.from(digest).toString('hex');
}
