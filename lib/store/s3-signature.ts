/**
 * AWS Signature Version 4 for S3: from a request to the headers that prove who sends it. Pure, but for a kept key.
 *
 * Everything that is sent as a header is signed, so that nobody on the way can widen a range or drop an If-None-Match. The
 * payload's hash is the caller's choice (UNSIGNED_PAYLOAD where TLS guards the bytes). The key that signs holds for a day and
 * a region, and is derived again when the day changes: a request costs two hashes and not six.
 *
 * Source: "Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference. S3 takes paths as they are:
 * no normalising, every byte but the unreserved ones and the slash in percent form, once.
 */
import { createHash, createHmac } from 'node:crypto';
import type { S3Credentials } from './s3-credentials.js';

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';

/** SHA-256 of no bytes. */
export const EMPTY_PAYLOAD_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

export interface UnsignedRequest {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** In percent form, as it is sent: `encodePath`. */
  readonly path: string;
  /** Without `?`, as it is sent: `encodeQuery`; empty when there is none. */
  readonly query: string;
  /** Lower-case names, `host` among them; values without spaces at their ends. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the payload in hex, or UNSIGNED_PAYLOAD. */
  readonly payloadHash: string;
}

export class S3Signer {
  private day = '';
  private key: Buffer = Buffer.alloc(0);

  constructor(
    /** Undefined: requests go unsigned, for what everybody may read. */
    private readonly credentials: S3Credentials | undefined,
    private readonly region: string,
  ) {}

  /** The headers to send, the signature among them. `nowMs`: milliseconds since 1970. */
  sign(request: UnsignedRequest, nowMs: number): Record<string, string> {
    const { credentials } = this;
    if (credentials === undefined) return { ...request.headers };
    const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d{3}/g, '');
    const day = time.slice(0, 8);
    const { accessKey, secretKey, sessionToken } = credentials;
    const headers: Record<string, string> = {
      ...request.headers,
      'x-amz-content-sha256': request.payloadHash,
      'x-amz-date': time,
      ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
    };
    const names = Object.keys(headers).sort();
    const signedNames = names.join(';');
    const canonical = [
      request.method,
      request.path,
      request.query,
      ...names.map((name) => `${name}:${headers[name]!}`),
      '',
      signedNames,
      request.payloadHash,
    ].join('\n');
    const scope = `${day}/${this.region}/s3/aws4_request`;
    const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${createHash('sha256').update(canonical).digest('hex')}`;
    const signature = createHmac('sha256', this.keyOf(secretKey, day)).update(toSign).digest('hex');
    headers.authorization = `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${signedNames}, Signature=${signature}`;
    return headers;
  }

  private keyOf(secretKey: string, day: string): Buffer {
    if (day !== this.day) {
      const steps = [day, this.region, 's3', 'aws4_request'];
      this.key = steps.reduce<Buffer>(hmac, Buffer.from(`AWS4${secretKey}`));
      this.day = day;
    }
    return this.key;
  }
}

/** A path in percent form: what S3 signs, and what is sent. */
export function encodePath(path: string): string {
  return encodeURI(path).replace(/[!#$&'()*+,:;=?@]/g, inPercents);
}

/** A query in the form and the order in which S3 signs it. */
export function encodeQuery(parameters: Readonly<Record<string, string>>): string {
  const encode = (text: string): string => encodePath(text).replaceAll('/', '%2F');
  const pairs = Object.entries(parameters).map(([name, value]) => `${encode(name)}=${encode(value)}`);
  return pairs.sort().join('&');
}

function inPercents(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
