/**
 * What of a request's payload is signed.
 *
 * Over TLS nothing: the connection guards the bytes, and hashing them again would cost a core for each 1.7 GB/s. Over plain
 * HTTP their SHA-256, so that nobody on the way can change them unseen. It is made on this thread, a piece a turn: another
 * thread would be given a copy of all bytes, which takes more of the processor than the turns hold up this one
 * (docs/decisions/0020-commit.md).
 */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { EMPTY_PAYLOAD_HASH, UNSIGNED_PAYLOAD } from './s3-signature.js';

/** Hashed in one turn: 0.4 ms. */
const TURN_BYTES = 512 * 1024;

/** What to give the signer for this body. */
export async function payloadHashOf(body: Uint8Array | undefined, secure: boolean): Promise<string> {
  if (body === undefined) return EMPTY_PAYLOAD_HASH;
  if (secure) return UNSIGNED_PAYLOAD;
  const hash = createHash('sha256');
  for (let at = 0; at < body.length; at += TURN_BYTES) {
    if (at > 0) await nextTurn();
    hash.update(body.subarray(at, at + TURN_BYTES));
  }
  return hash.digest('hex');
}
