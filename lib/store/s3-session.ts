/**
 * Who we are to a bucket, for as long as the server accepts it: credentials that were read, a region, and what follows from
 * the two. It is replaced as a whole when credentials change.
 */
import { addressOf, type S3Address } from './s3-address.js';
import type { S3Settings } from './s3-settings.js';
import { S3Signer } from './s3-signature.js';
import type { Exchange } from './s3-transport.js';

export interface S3Session {
  readonly address: S3Address;
  readonly signer: S3Signer;
}

/** REFUSED: no credentials. Amazon without a region: asks the bucket, as a part of the call `exchange`. */
export async function openSession(bucket: string, settings: S3Settings, exchange: Exchange): Promise<S3Session> {
  const credentials = await settings.readCredentials();
  let { region } = settings;
  if (region === undefined) {
    const { regionOf } = await import('./s3-region.js');
    region = await regionOf(bucket, settings.endpoint, credentials, exchange);
  }
  return { address: addressOf(settings.endpoint, bucket, region), signer: new S3Signer(credentials, region) };
}
