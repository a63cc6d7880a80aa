/**
 * In which region a bucket of Amazon is, where its user names none.
 *
 * The minio client is asked, which knows the ways in which Amazon answers that; it is loaded for this alone, and has a connection
 * of its own for the one or two requests that it takes. They belong to one call of the store: its signal destroys them, and their
 * status is kept for it.
 */
import http from 'node:http';
import https from 'node:https';
import type { S3Credentials } from './s3-credentials.js';
import type { S3Endpoint } from './s3-settings.js';
import type { Exchange } from './s3-transport.js';

/** Silence that is taken for a dead server, milliseconds. */
const TIMEOUT_MS = 30_000;

/** As whom, and over what trust, a region is asked for. */
export interface RegionAsker {
  readonly credentials: S3Credentials | undefined;
  readonly authorities: string | undefined;
}

/** Rejects with what the client or Node throws; s3-errors.ts knows both. */
export async function regionOf(
  bucket: string,
  { host, port, secure, addressing }: S3Endpoint,
  { credentials, authorities }: RegionAsker,
  exchange: Exchange,
): Promise<string> {
  const { Client } = await import('minio');
  const agent = secure ? new https.Agent(authorities === undefined ? {} : { ca: authorities }) : new http.Agent();
  const open = secure ? https.request : http.request;
  // The client calls it with options and a callback, always.
  const request = ((options: http.RequestOptions, onResponse: (response: http.IncomingMessage) => void) => {
    const { signal } = exchange;
    const sent = open({ ...options, agent, timeout: TIMEOUT_MS, ...(signal && { signal }) }, (response) => {
      exchange.status = response.statusCode;
      onResponse(response);
    });
    sent.on('timeout', () => sent.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    return sent;
  }) as typeof http.request;
  const client = new Client({
    endPoint: host,
    port,
    useSSL: secure,
    pathStyle: addressing === 'path',
    transport: { request },
    transportAgent: agent,
    retryOptions: { disableRetry: true },
    ...(credentials && { accessKey: credentials.accessKey, secretKey: credentials.secretKey }),
    ...(credentials?.sessionToken !== undefined && { sessionToken: credentials.sessionToken }),
  });
  try {
    return await client.getBucketRegionAsync(bucket);
  } finally {
    agent.destroy();
  }
}
