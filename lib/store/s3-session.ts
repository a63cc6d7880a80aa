/**
 * Who we are to a bucket, for as long as the server accepts it: credentials that were read, a region, and what follows from
 * the two. It is replaced as a whole when credentials change.
 *
 * The data path (get, put, delete) signs and sends its own requests. Listings and the question for a bucket's region go
 * through the minio client, which is loaded when the first of them is asked. A client serves one call, so that its requests
 * are known to belong to that call; making one costs next to nothing, loading the package half a second.
 */
import type { Client } from 'minio';
import { LazydiskError } from '../util/errors.js';
import { addressOf, type S3Address } from './s3-address.js';
import type { S3Credentials, S3Settings } from './s3-settings.js';
import { S3Signer } from './s3-signature.js';
import type { Exchange, S3Transport } from './s3-transport.js';

export interface S3Session {
  readonly address: S3Address;
  readonly signer: S3Signer;
  /** A client for one call. USAGE: the endpoint is none for it. */
  client(exchange: Exchange): Promise<Client>;
}

/** REFUSED: no credentials. Amazon without a region: asks the bucket, as a part of the call `exchange`. */
export async function openSession(
  bucket: string,
  settings: S3Settings,
  transport: S3Transport,
  exchange: Exchange,
): Promise<S3Session> {
  const credentials = await settings.readCredentials();
  const client = (of: Exchange): Promise<Client> => makeClient(settings, credentials, transport, of);
  const region = settings.region ?? (await (await client(exchange)).getBucketRegionAsync(bucket));
  return { address: addressOf(settings.endpoint, bucket, region), signer: new S3Signer(credentials, region), client };
}

async function makeClient(
  { endpoint, region }: S3Settings,
  { accessKey, secretKey, sessionToken }: S3Credentials,
  transport: S3Transport,
  exchange: Exchange,
): Promise<Client> {
  const minio = await import('minio');
  try {
    return new minio.Client({
      endPoint: endpoint.host,
      port: endpoint.port,
      useSSL: endpoint.secure,
      pathStyle: endpoint.pathStyle,
      accessKey,
      secretKey,
      transport: { request: transport.requestFor(exchange) },
      transportAgent: transport.agent,
      retryOptions: { disableRetry: true },
      ...(region === undefined ? {} : { region }),
      ...(sessionToken === undefined ? {} : { sessionToken }),
    });
  } catch (error) {
    throw new LazydiskError('USAGE', `${endpoint.url} can't be used as an S3 endpoint: check its host and port.`, {
      cause: error,
    });
  }
}
