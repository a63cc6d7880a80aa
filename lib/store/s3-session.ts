/**
 * Who we are to a bucket, for as long as the server accepts it: credentials that were read, a region, and what follows from
 * the two. It is replaced as a whole when credentials change.
 *
 * The store signs and sends its requests itself. Where Amazon's users name no region, the bucket is asked for it through the
 * minio client, which knows the ways in which Amazon answers that; it is loaded for this alone.
 */
import type { Client } from 'minio';
import { addressOf, type S3Address } from './s3-address.js';
import type { S3Credentials, S3Settings } from './s3-settings.js';
import { S3Signer } from './s3-signature.js';
import type { Exchange, S3Transport } from './s3-transport.js';

export interface S3Session {
  readonly address: S3Address;
  readonly signer: S3Signer;
}

/** REFUSED: no credentials. Amazon without a region: asks the bucket, as a part of the call `exchange`. */
export async function openSession(
  bucket: string,
  settings: S3Settings,
  transport: S3Transport,
  exchange: Exchange,
): Promise<S3Session> {
  const credentials = await settings.readCredentials();
  const region =
    settings.region ??
    (await (await makeClient(settings, credentials, transport, exchange)).getBucketRegionAsync(bucket));
  return { address: addressOf(settings.endpoint, bucket, region), signer: new S3Signer(credentials, region) };
}

/** A client for one call, so that its requests are known to belong to that call. */
async function makeClient(
  { endpoint }: S3Settings,
  { accessKey, secretKey, sessionToken }: S3Credentials,
  transport: S3Transport,
  exchange: Exchange,
): Promise<Client> {
  const minio = await import('minio');
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
    ...(sessionToken === undefined ? {} : { sessionToken }),
  });
}
