/**
 * A store in an S3 bucket, through the minio client.
 *
 * Each method is one request (a listing: one per thousand keys); nothing is tried again here, the client's own retries
 * are off. A put is always a single PUT, never a multipart upload, because only that is atomic and can be conditional.
 * A body is success only when it is as long as was asked, whatever the server announced.
 *
 * Credentials that expire or are rotated under a store that has worked are read again, and the call fails as UNREACHABLE,
 * so that the retrying decorator goes on with the new ones; at the start they are REFUSED.
 *
 * What it does not do: it checks nothing at construction (the first call does), and sees keys of others under its prefix
 * only if they are keys (lib/store/keys.ts): folder markers of web consoles are not.
 */
import { Client, type ClientOptions } from 'minio';
import { allowManyWaits } from '../util/abort.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import { checkRange, throwIfAborted } from './calls.js';
import { checkKey, checkPrefix, compareKeys, keyProblem } from './keys.js';
import { formatLocation, type S3Location } from './location.js';
import type { CallOptions, GetOptions, Listing, ObjectStore, StoredObject } from './object-store.js';
import { expectedSize, readBody } from './s3-body.js';
import { isIdentityTrouble, s3Error, type S3Operation } from './s3-errors.js';
import type { S3Settings } from './s3-settings.js';
import { S3Transport, type Exchange } from './s3-transport.js';

/** Silence on a connection that is taken for a dead server. Amazon's own clients wait 60 s; half of it is still patient. */
const IDLE_TIMEOUT_MS = 30_000;

/** The most that S3 takes in one PUT: below it the client never splits an object. */
const SINGLE_PUT_BYTES = 5 * 1024 ** 3;

const KEYS_PER_PAGE = 1000;

export class S3Store implements ObjectStore {
  readonly location: string;
  private readonly keyPrefix: string;
  private readonly transport: S3Transport;
  private client: Promise<Client> | undefined;
  private history: 'has not worked yet' | 'has worked' = 'has not worked yet';

  constructor(
    private readonly where: S3Location,
    private readonly settings: S3Settings,
    idleTimeoutMs = IDLE_TIMEOUT_MS,
  ) {
    this.location = formatLocation(where);
    this.keyPrefix = where.prefix === '' ? '' : `${where.prefix}/`;
    this.transport = new S3Transport(settings.endpoint.secure, idleTimeoutMs);
  }

  async get(key: string, options: GetOptions = {}): Promise<Buffer> {
    checkKey(key);
    const { range, onBytes } = options;
    checkRange(range);
    return this.call('get', key, options.signal, async (client, exchange) => {
      const { offsetBytes, lengthBytes } = range ?? { offsetBytes: 0, lengthBytes: 0 };
      const body = await client.getPartialObject(this.where.bucket, this.keyPrefix + key, offsetBytes, lengthBytes);
      try {
        const sizeBytes = expectedSize(exchange.response, { location: this.location, key, range });
        return await readBody(body, sizeBytes, onBytes);
      } finally {
        body.destroy();
      }
    });
  }

  async put(
    key: string,
    bytes: Uint8Array,
    options: CallOptions & { readonly ifAbsent?: boolean } = {},
  ): Promise<void> {
    checkKey(key);
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    await this.call('put', key, options.signal, (client) =>
      client.putObject(this.where.bucket, this.keyPrefix + key, body, body.length, {
        'Content-Type': 'application/octet-stream',
        ...(options.ifAbsent ? { 'If-None-Match': '*' } : {}),
      }),
    );
  }

  async list(prefix: string, options: CallOptions & { readonly delimiter?: '/' } = {}): Promise<Listing> {
    checkPrefix(prefix);
    return this.call('list', prefix, options.signal, async (client) => {
      const objects: StoredObject[] = [];
      const prefixes = new Set<string>();
      const ask = this.keyPrefix + prefix;
      for (let token = ''; ;) {
        const { bucket } = this.where;
        const delimiter = options.delimiter ?? '';
        const page = await client.listObjectsV2Query(bucket, ask, token, delimiter, KEYS_PER_PAGE, '');
        for (const item of page.objects) {
          const full = item.name ?? item.prefix;
          // A server that answers more than was asked must not lead us to keys outside the repository.
          if (!full?.startsWith(ask)) continue;
          const key = full.slice(this.keyPrefix.length);
          if (item.name === undefined) prefixes.add(key);
          else if (keyProblem(key) === undefined) objects.push(this.storedObject(key, item.size, item.lastModified));
        }
        if (!page.isTruncated) break;
        // The client's XML parser makes a number of a token that looks like one.
        const next = String(page.nextContinuationToken);
        if (next === '' || next === token) throw this.badListing('does not go on after its first part');
        token = next;
      }
      objects.sort((a, b) => compareKeys(a.key, b.key));
      return { objects, prefixes: [...prefixes].sort(compareKeys) };
    });
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    try {
      await this.call('delete', key, options.signal, (client) =>
        client.removeObject(this.where.bucket, this.keyPrefix + key),
      );
    } catch (error) {
      // S3 answers 204 for a key that is not there; some servers say so.
      if (!hasCode(error, 'NOT_FOUND')) throw error;
    }
  }

  async close(): Promise<void> {
    this.transport.close();
  }

  /** Runs one call of the contract with the client, and turns what it throws into the contract's errors. */
  private async call<T>(
    operation: S3Operation,
    key: string,
    signal: AbortSignal | undefined,
    action: (client: Client, exchange: Exchange) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(signal, this.location);
    if (signal !== undefined) allowManyWaits(signal);
    const client = (this.client ??= this.connect());
    const exchange: Exchange = { signal, response: undefined, silence: undefined };
    try {
      const ready = await client;
      const result = await this.transport.exchange(exchange, () => action(ready, exchange));
      this.history = 'has worked';
      return result;
    } catch (thrown) {
      const error = s3Error(thrown, {
        location: this.location,
        bucket: this.where.bucket,
        endpointUrl: this.settings.endpoint.url,
        operation,
        key,
        signal,
        status: exchange.response?.statusCode,
      });
      if (!isIdentityTrouble(error) || this.history === 'has not worked yet') throw error;
      if (this.client === client) this.client = undefined;
      throw new LazydiskError('UNREACHABLE', error.message, { facts: error.facts });
    }
  }

  private connect(): Promise<Client> {
    const made = this.makeClient();
    // Credentials may be put right while we run: the next call looks again.
    made.catch(() => {
      if (this.client === made) this.client = undefined;
    });
    return made;
  }

  private async makeClient(): Promise<Client> {
    const { endpoint, region } = this.settings;
    const credentials = await this.settings.readCredentials();
    const options: ClientOptions = {
      endPoint: endpoint.host,
      port: endpoint.port,
      useSSL: endpoint.secure,
      pathStyle: endpoint.pathStyle,
      accessKey: credentials.accessKey,
      secretKey: credentials.secretKey,
      partSize: SINGLE_PUT_BYTES,
      transport: this.transport,
      transportAgent: this.transport.agent,
      retryOptions: { disableRetry: true },
      ...(region === undefined ? {} : { region }),
      ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken }),
    };
    try {
      return new Client(options);
    } catch (error) {
      throw new LazydiskError('USAGE', `${endpoint.url} can't be used as an S3 endpoint: check its host and port.`, {
        cause: error,
      });
    }
  }

  private storedObject(key: string, size: unknown, lastModified: unknown): StoredObject {
    const sizeBytes = Number(size);
    const modifiedMs = lastModified instanceof Date ? lastModified.getTime() : Number.NaN;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || !Number.isFinite(modifiedMs)) {
      throw this.badListing(`gives no size or no time for ${key}`);
    }
    return { key, sizeBytes, modifiedMs };
  }

  private badListing(problem: string): LazydiskError {
    return new LazydiskError('UNSUPPORTED', `The listing that ${this.settings.endpoint.url} gave ${problem}.`, {
      facts: { location: this.location },
    });
  }
}
