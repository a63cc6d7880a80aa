/**
 * Which refusals of an S3 server may turn into a success without anybody changing what was asked: the rule alone.
 */
import type { LazydiskError } from '../util/errors.js';
import type { S3Operation } from './s3-verdict.js';

/** What is wrong with who we are rather than with what we may do. */
const IDENTITY_CODES = new Set([
  'ExpiredToken',
  'TokenRefreshRequired',
  'InvalidToken',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'RequestTimeTooSkewed',
]);

/** Whether other credentials could turn a refusal: it is about who we are, or about what we may do. */
export function concernsIdentity({ facts: { s3Code, status } }: LazydiskError): boolean {
  return status === 401 || status === 403 || (typeof s3Code === 'string' && IDENTITY_CODES.has(s3Code));
}

/**
 * Whether a refusal is one that passes: `worked` are the operations that this store has done before.
 *
 * A server that no longer knows us does again with rotated credentials, or a clock that is set right. A right to read that
 * was there and is gone (a policy that is being changed, a key that is disabled for a moment) must not become an I/O error
 * of a guest. A right to write that is denied is final at once: a commit loses nothing by it, and says which right is missing.
 */
export function passes(error: LazydiskError, worked: ReadonlySet<S3Operation>): boolean {
  const { s3Code, operation, status } = error.facts;
  if (worked.size > 0 && typeof s3Code === 'string' && IDENTITY_CODES.has(s3Code)) return true;
  return (
    error.code === 'REFUSED' && status === 403 && (operation === 'get' || operation === 'list') && worked.has(operation)
  );
}
