/**
 * What a failure of S3 means and what is said of it: the one table for S3, from the code that the server gave, else from the
 * status of its answer, else from what the connection ended with.
 *
 * UNREACHABLE: the same again may succeed. REFUSED, UNSUPPORTED, DAMAGED: it will not until somebody does what the sentence says.
 * Whether a refusal passes all the same is not asked here (s3-passing.ts).
 */
import { errnoOf, messageOf, type ErrorCode } from '../util/errors.js';

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

export interface Verdict {
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

/** `s3Code`: what the server gave; undefined when it gave none. */
export function judge(error: unknown, s3Code: string | undefined, call: FailedCall): Verdict {
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

/** A foreign message as the end of our sentence: one line, not too long. */
function brief(message: string): string {
  const line = message.replace(/\s+/g, ' ').trim().replace(/\.$/, '');
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
