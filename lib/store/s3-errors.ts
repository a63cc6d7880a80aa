/**
 * From what an S3 server or a connection says to the store's error codes: the one table for S3.
 *
 * The server's error object is never kept as a cause: for a wrong signature it holds the access key and what was signed.
 * What is kept are its code, the HTTP status and the request id.
 */
import { errnoOf, LazydiskError, messageOf, type ErrorCode } from '../util/errors.js';
import { abortedError, keyExists, noSuchKey } from './calls.js';

export type S3Operation = 'get' | 'put' | 'list' | 'delete';

/** The circumstances of a failure. */
export interface FailedCall {
  readonly location: string;
  readonly bucket: string;
  readonly endpointUrl: string;
  readonly operation: S3Operation;
  /** Key or prefix. */
  readonly key: string;
  readonly signal: AbortSignal | undefined;
  /** Of the last response; undefined when there was none. */
  readonly status: number | undefined;
}

/** What a policy has to allow. */
const RIGHTS: Readonly<Record<S3Operation, string>> = {
  get: 's3:GetObject',
  put: 's3:PutObject',
  list: 's3:ListBucket',
  delete: 's3:DeleteObject',
};

interface Verdict {
  readonly code: ErrorCode;
  readonly sentence: string;
}

const TRANSIENT_CODES = new Set([
  'RequestTimeout',
  'RequestTimeoutException',
  'SlowDown',
  'SlowDownRead',
  'SlowDownWrite',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'RequestLimitExceeded',
  'InternalError',
  'ServiceUnavailable',
  'OperationAborted', // 409: another change of this key is under way
  'ConditionalRequestConflict', // 409: another If-None-Match on this key is under way
  'IncompleteBody',
  'BadDigest', // the bytes changed on their way up: so send them again
  'XAmzContentSHA256Mismatch',
]);

// 499: a proxy saw its client go. 520 and above are gateways' own numbers; 501 and 505 are answers, not trouble.
const FINAL_5XX = new Set([501, 505]);

const UNTRUSTED_CERTIFICATE = /^(CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|ERR_TLS_CERT|HOSTNAME_MISMATCH)/;

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

function judge(error: unknown, s3Code: string | undefined, call: FailedCall): Verdict {
  const { status, bucket, endpointUrl } = call;
  const known = s3Code === undefined ? undefined : namedVerdict(s3Code, call);
  if (known !== undefined) return known;
  if (status === undefined || status < 300 || errnoOf(error) !== undefined) return connectionVerdict(error, call);

  const said = `${endpointUrl} answered ${status}${s3Code === undefined ? '' : ` ${s3Code}`} to ${what(call)}`;
  if (FINAL_5XX.has(status)) {
    return { code: 'UNSUPPORTED', sentence: `${said}: this server lacks a part of S3 that lazydisk needs.` };
  }
  if (status >= 499 || status === 408 || status === 409 || status === 429) return again(`${said}.`);
  if (status === 401 || status === 403) {
    return {
      code: 'REFUSED',
      sentence: `${said}: these credentials lack ${RIGHTS[call.operation]} in bucket ${bucket}.`,
    };
  }
  if (status === 301 || status === 307 || status === 308) {
    return { code: 'REFUSED', sentence: `${said}: bucket ${bucket} is in another region; set AWS_REGION to it.` };
  }
  if (status === 404) {
    return {
      code: 'REFUSED',
      sentence: `${said}, which is not how S3 says that an object is missing: check the endpoint.`,
    };
  }
  return { code: 'REFUSED', sentence: `${said}: ${brief(messageOf(error))}.` };
}

/** What a code of S3 means, whatever the status. */
function namedVerdict(s3Code: string, call: FailedCall): Verdict | undefined {
  const { bucket, endpointUrl } = call;
  if (TRANSIENT_CODES.has(s3Code)) return again(`${endpointUrl} answered ${s3Code} to ${what(call)}.`);
  switch (s3Code) {
    case 'NoSuchKey':
      return again(`${endpointUrl} answered NoSuchKey to ${what(call)}.`);
    case 'NoSuchBucket':
      return refused(`There is no bucket ${bucket} at ${endpointUrl}: create it, or check its name and the endpoint.`);
    case 'AccessDenied':
    case 'AllAccessDisabled':
      return refused(
        `${endpointUrl} denied ${what(call)}: these credentials lack ${RIGHTS[call.operation]} in bucket ${bucket}.`,
      );
    case 'InvalidAccessKeyId':
      return refused(`${endpointUrl} does not know the access key id that was used for bucket ${bucket}.`);
    case 'SignatureDoesNotMatch':
      return refused(
        `${endpointUrl} did not accept the signature for bucket ${bucket}: the secret access key is wrong.`,
      );
    case 'ExpiredToken':
    case 'TokenRefreshRequired':
      return refused(`The session token for bucket ${bucket} at ${endpointUrl} has expired: get a new one.`);
    case 'InvalidToken':
      return refused(`${endpointUrl} did not accept the session token for bucket ${bucket}: check AWS_SESSION_TOKEN.`);
    case 'RequestTimeTooSkewed':
      return refused(`The clock of this host differs too much from that of ${endpointUrl}: set it right.`);
    case 'PermanentRedirect':
    case 'MovedPermanently':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return refused(`Bucket ${bucket} at ${endpointUrl} is in another region: set AWS_REGION to it.`);
    case 'QuotaExceeded':
      return refused(`Bucket ${bucket} at ${endpointUrl} is over its quota: make room, or raise it.`);
    case 'InvalidRange':
      return {
        code: 'DAMAGED',
        sentence: `${call.key} in ${call.location} is shorter than the range that was asked for.`,
      };
    case 'NotImplemented':
      return {
        code: 'UNSUPPORTED',
        sentence: `${endpointUrl} does not implement ${what(call)}, which lazydisk needs: use another server.`,
      };
    default:
      return undefined;
  }
}

/** No answer, or one that broke off, or one that is not S3's. */
function connectionVerdict(error: unknown, call: FailedCall): Verdict {
  const { endpointUrl } = call;
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === 'string' && UNTRUSTED_CERTIFICATE.test(code)) {
    return refused(
      `The certificate of ${endpointUrl} is not trusted (${code}): name its authority with AWS_CA_BUNDLE, or check the endpoint.`,
    );
  }
  switch (code) {
    case 'ECONNREFUSED':
      return again(`${endpointUrl} refuses connections: check that the server runs, and the endpoint.`);
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return again(`The host of ${endpointUrl} can't be resolved: check the endpoint and the network.`);
    case 'ETIMEDOUT':
      return again(`${endpointUrl} did not answer ${what(call)} in time.`);
    case 'EPROTO':
      return again(`${endpointUrl} and this host found no common TLS: check http or https in the endpoint.`);
    default:
      return again(`The connection to ${endpointUrl} failed during ${what(call)}: ${brief(messageOf(error))}.`);
  }
}

function what(call: FailedCall): string {
  return `${call.operation.toUpperCase()} ${call.key}`.trimEnd();
}

function again(sentence: string): Verdict {
  return { code: 'UNREACHABLE', sentence };
}

function refused(sentence: string): Verdict {
  return { code: 'REFUSED', sentence };
}

/** The code that the server gave: capitalised words, unlike those of Node. */
function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' && /^[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*$/.test(code) ? code : undefined;
}

/** A foreign message as the end of our sentence: one line, not too long. */
function brief(message: string): string {
  const line = message.replace(/\s+/g, ' ').trim().replace(/\.$/, '');
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
