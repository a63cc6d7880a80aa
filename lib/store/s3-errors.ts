/**
 * From what an S3 server or a connection says to the store's errors. What it means is looked up in s3-verdict.ts.
 *
 * The server's error object is never kept as a cause: for a wrong signature it holds the access key and what was signed.
 * What is kept are its code, the HTTP status and the request id.
 */
import { LazydiskError } from '../util/errors.js';
import { abortedError, keyExists, noSuchKey } from './calls.js';
import { judge, type FailedCall } from './s3-verdict.js';

/** The LazydiskError for what a request threw: an S3Refusal, what the minio client makes of one, or an error of Node. */
export function s3Error(error: unknown, call: FailedCall): LazydiskError {
  if (error instanceof LazydiskError) return error;
  if (call.signal?.aborted) return abortedError(call.location);
  const s3Code = codeOf(error);
  if (s3Code === 'NoSuchKey' && call.operation !== 'put') return noSuchKey(call.location, call.key);
  if (call.status === 412 || s3Code === 'PreconditionFailed') return keyExists(call.location, call.key);

  const verdict = judge(error, s3Code, call);
  const isServersAnswer = call.status !== undefined && call.status >= 300;
  return new LazydiskError(verdict.code, verdict.sentence, {
    ...(isServersAnswer ? {} : { cause: error }),
    facts: {
      location: call.location,
      bucket: call.bucket,
      endpoint: call.endpointUrl,
      operation: call.operation,
      key: call.key,
      status: call.status,
      s3Code,
      requestId: (error as { amzRequestid?: unknown } | null)?.amzRequestid,
    },
  });
}

/** The code that the server gave: capitalised words, unlike those of Node. */
function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' && /^[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*$/.test(code) ? code : undefined;
}
