/**
 * Where the objects of a bucket are on the network: the host to connect to, and the path that begins their names.
 *
 * Amazon has a host for each region. The bucket's name stands before the host's name (virtual) or first in the path, as the
 * endpoint says. One with a dot stands in the path where TLS is spoken: the certificate covers one name below the host's only.
 */
import type { S3Endpoint } from './s3-settings.js';
import { encodePath } from './s3-signature.js';

export interface S3Address {
  readonly hostname: string;
  readonly port: number;
  /** As the Host header says it: with the port unless it is the protocol's own. */
  readonly host: string;
  /** Stands before an encoded key: `/` or `/bucket/`. */
  readonly pathPrefix: string;
}

export function addressOf(endpoint: S3Endpoint, bucket: string, region: string): S3Address {
  const { secure, port } = endpoint;
  const server = endpoint.isAmazon
    ? `s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
    : endpoint.host;
  const hasOwnHost = endpoint.addressing === 'virtual' && !(secure && bucket.includes('.'));
  const hostname = hasOwnHost ? `${bucket}.${server}` : server;
  const name = hostname.includes(':') ? `[${hostname}]` : hostname;
  return {
    hostname,
    port,
    host: port === (secure ? 443 : 80) ? name : `${name}:${port}`,
    pathPrefix: hasOwnHost ? '/' : `/${encodePath(bucket)}/`,
  };
}
