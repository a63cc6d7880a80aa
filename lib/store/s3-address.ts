/**
 * Where the objects of a bucket are on the network: the host to connect to, and the path that begins their names.
 *
 * Amazon has a host for each region and, below it, for each bucket; other servers have the bucket in the path. A bucket with
 * a dot in its name stands in the path with Amazon, too: the certificate of the region covers one name below it only.
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
  if (endpoint.pathStyle) {
    const name = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
    const host = port === (secure ? 443 : 80) ? name : `${name}:${port}`;
    return { hostname: endpoint.host, port, host, pathPrefix: inPath(bucket) };
  }
  const regional = `s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
  const hasOwnHost = !bucket.includes('.');
  const hostname = hasOwnHost ? `${bucket}.${regional}` : regional;
  return { hostname, port, host: hostname, pathPrefix: hasOwnHost ? '/' : inPath(bucket) };
}

function inPath(bucket: string): string {
  return `/${encodePath(bucket)}/`;
}
