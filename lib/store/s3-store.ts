/**
 * A store in an S3 bucket.
 *
 * Each method is one request (a listing: one per thousand keys); nothing is tried again here. A body goes straight from the
 * connection into the buffer that is returned (http-connection.ts), and to the connection straight from the caller's. A put is always a single PUT,
 * never a multipart upload, because only that is atomic and can be conditional.
 * A body is success only when it is as long as was asked, whatever the server announced.
 *
 * Credentials that end or are rotated are read again (s3-session.ts). A refusal that other credentials may turn, or that
 * concerns what has worked before, fails as UNREACHABLE, so that the retrying decorator goes on; at the start it is REFUSED.
 *
 * What it does not do: it checks nothing at construction (the first call does), and sees keys of others under its prefix
 * only if they are keys (lib/store/keys.ts): folder markers of web consoles are not.
 */
import { allowManyWaits } from '../util/abort.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { checkRange, throwIfAborted } from './calls.js';
import { checkKey, checkPrefix, compareKeys } from './keys.js';
import { formatLocation, type S3Location } from './location.js';
import type {
  CallOptions,
  GetOptions,
  Listing,
  ListOptions,
  ObjectStore,
  Pace,
  PutOptions,
  StoredObject,
} from './object-store.js';
import type { AnswerHead } from './http-message.js';
import type { BodyPlan } from './incoming-body.js';
import { DOCUMENT, objectPlan, REMARK } from './s3-body.js';
import { s3Error } from './s3-errors.js';
import { pageQuery, parsePage, type ListedPlace } from './s3-listing.js';
import { concernsIdentity, passes } from './s3-passing.js';
import { payloadHashOf } from './s3-payload.js';
import { refusalOf } from './s3-refusal.js';
import { S3Sessions, type S3Session } from './s3-session.js';
import type { S3Settings } from './s3-settings.js';
import { encodePath } from './s3-signature.js';
import { S3Transport, type Exchange } from './s3-transport.js';
import type { S3Operation } from './s3-verdict.js';

/** Silence on a connection that is taken for a dead server. Amazon's own clients wait 60 s; half of it is still patient. */
const IDLE_TIMEOUT_MS = 30_000;

/** A request before it is addressed and signed: of an object, or of the bucket when it has no key. */
interface S3Request {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  readonly key?: string;
  readonly query?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly pace?: Pace | undefined;
}

export interface S3StoreOptions {
  /** Silence on a connection that is taken for a dead server, milliseconds. */
  readonly idleTimeoutMs?: number | undefined;
  /** Connections that are opened beside the first, for a user who is going to ask several things at once. Default none. */
  readonly spareConnections?: number | undefined;
}

export class S3Store implements ObjectStore {
  readonly location: string;
  private readonly keyPrefix: string;
  private readonly transport: S3Transport;
  private readonly sessions: S3Sessions;
  /** What has succeeded: a refusal of it may pass. */
  private readonly worked = new Set<S3Operation>();

  constructor(
    private readonly where: S3Location,
    private readonly settings: S3Settings,
    { idleTimeoutMs = IDLE_TIMEOUT_MS, spareConnections = 0 }: S3StoreOptions = {},
  ) {
    this.location = formatLocation(where);
    this.keyPrefix = where.prefix === '' ? '' : `${where.prefix}/`;
    this.transport = new S3Transport(settings.endpoint.secure, idleTimeoutMs, spareConnections, settings.authorities);
    this.sessions = new S3Sessions(where.bucket, settings);
  }

  /** Finds out who we are, without any request to the bucket. REFUSED: there are no credentials. */
  identify(): Promise<void> {
    return this.sessions.begin();
  }

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    checkKey(key);
    const { range, onBytes } = options;
    checkRange(range);
    const headers: Record<string, string> = {};
    if (range !== undefined) {
      headers.range = `bytes=${range.offsetBytes}-${range.offsetBytes + range.lengthBytes - 1}`;
    }
    return this.call('get', key, options.signal, (session, exchange) =>
      this.send(session, exchange, { method: 'GET', key, headers }, (head) =>
        objectPlan(head, { location: this.location, key, range }, onBytes),
      ),
    );
  }

  async put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    checkKey(key);
    const headers: Record<string, string> = { 'content-type': 'application/octet-stream' };
    if (options.ifAbsent) headers['if-none-match'] = '*';
    await this.call('put', key, options.signal, (session, exchange) =>
      this.send(session, exchange, { method: 'PUT', key, headers, body: bytes, pace: options.pace }, () => REMARK),
    );
  }

  async list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    checkPrefix(prefix);
    const { location, keyPrefix } = this;
    const { delimiter, onPiece } = options;
    const place: ListedPlace = { location, endpointUrl: this.settings.endpoint.url, keyPrefix, prefix, delimiter };
    return this.call('list', prefix, options.signal, async (session, exchange) => {
      const objects: StoredObject[] = [];
      const prefixes = new Set<string>();
      for (let token: string | undefined = ''; token !== undefined;) {
        const request: S3Request = { method: 'GET', query: pageQuery(place, token), headers: {} };
        const document = await this.send(session, exchange, request, () => DOCUMENT);
        const page = parsePage(document.toString('utf8'), place, token);
        objects.push(...page.objects);
        for (const common of page.prefixes) prefixes.add(common);
        token = page.next;
        onPiece?.();
      }
      objects.sort((a, b) => compareKeys(a.key, b.key));
      return { objects, prefixes: [...prefixes].sort(compareKeys) };
    });
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    try {
      await this.call('delete', key, options.signal, (session, exchange) =>
        this.send(session, exchange, { method: 'DELETE', key, headers: {} }, () => REMARK),
      );
    } catch (error) {
      // S3 answers 204 for a key that is not there; some servers say so.
      if (!hasCode(error, 'NOT_FOUND')) throw error;
    }
  }

  async close(): Promise<void> {
    this.transport.close();
  }

  /** Signs and sends a request; a refusal is thrown, the body of a success taken as `plan` says. */
  private async send(
    { address, signer }: S3Session,
    exchange: Exchange,
    request: S3Request,
    plan: (head: AnswerHead) => BodyPlan,
  ): Promise<Buffer> {
    const { method, key, query = '', headers, body, pace } = request;
    const bucketPath = address.pathPrefix.slice(0, -1) || '/';
    const path = key === undefined ? bucketPath : address.pathPrefix + encodePath(this.keyPrefix + key);
    const payloadHash = await payloadHashOf(body, this.settings.endpoint.secure);
    throwIfAborted(exchange.signal, this.location);
    const signed = signer.sign(
      { method, path, query, headers: { host: address.host, ...headers }, payloadHash },
      Date.now(),
    );
    if (body !== undefined) signed['content-length'] = String(body.length);
    const { hostname, port } = address;
    const target = query === '' ? path : `${path}?${query}`;
    const answer = await this.transport.send(
      { method, hostname, port, path: target, headers: signed, body, pace },
      exchange,
      (head) => (isSuccess(request, head) ? plan(head) : REMARK),
    );
    if (!isSuccess(request, answer.head)) throw refusalOf(answer);
    return answer.body;
  }

  /** Runs one call of the contract, and turns what it throws into the contract's errors. */
  private async call<T>(
    operation: S3Operation,
    key: string,
    signal: AbortSignal | undefined,
    action: (session: S3Session, exchange: Exchange) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(signal, this.location);
    if (signal !== undefined) allowManyWaits(signal);
    const exchange: Exchange = { signal, status: undefined };
    let session: S3Session | undefined;
    try {
      session = await this.sessions.current(exchange);
      const result = await action(session, exchange);
      this.worked.add(operation);
      return result;
    } catch (thrown) {
      const error = s3Error(thrown, {
        location: this.location,
        bucket: this.where.bucket,
        endpointUrl: this.settings.endpoint.url,
        operation,
        key,
        signal,
        status: exchange.status,
      });
      if (!(await this.passes(error, session))) throw error;
      throw new LazydiskError('UNREACHABLE', error.message, { facts: error.facts });
    }
  }

  /** Whether the call may succeed when it is tried again although it was refused. */
  private async passes(error: LazydiskError, session: S3Session | undefined): Promise<boolean> {
    if (error.code !== 'REFUSED') return false;
    // Credentials that can't be read, or have ended without others: somebody is changing them, or their source is away.
    if (session === undefined) return this.worked.size > 0;
    if (!concernsIdentity(error)) return false;
    const hasOthers = await this.sessions.hasOthersThan(session);
    return hasOthers || passes(error, this.worked);
  }
}

/** A GET succeeds with the body that was asked for; the others with whatever says so. */
function isSuccess({ method, headers }: S3Request, { status }: AnswerHead): boolean {
  if (method !== 'GET') return status >= 200 && status < 300;
  return status === 200 || (status === 206 && headers.range !== undefined);
}
