/**
 * An HTTP proxy in front of an S3 server that counts what passes, can be cut off, and can answer as the server does to
 * credentials that may only read.
 *
 * It forwards each request as it came, Host header included, so that signatures stay valid, and streams bodies both ways.
 * Counted are requests when they come in and the bytes of bodies as they pass. During an outage connections are reset:
 * those that are open, and new ones as soon as they are made.
 */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { resetConnection } from './reset-connection.js';

/** A request that came in. */
export interface ProxiedRequest {
  readonly method: string;
  /** `/bucket/key`, decoded. */
  readonly path: string;
  /** The query without `?`. */
  readonly query: string;
  /** `bytes=0-99`. */
  readonly range: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

export interface ProxyCounts {
  readonly requests: number;
  /** GETs of objects. */
  readonly gets: number;
  readonly puts: number;
  readonly lists: number;
  readonly deletes: number;
  /** Bytes of response bodies. */
  readonly bytesDown: number;
  /** Bytes of request bodies. */
  readonly bytesUp: number;
}

export interface CountingProxy {
  /** `http://127.0.0.1:port`: what to give as the endpoint. */
  readonly url: string;
  /** Since the start or the last `reset`. */
  counts(): ProxyCounts;
  /** The requests that were counted, in order. */
  requests(): readonly ProxiedRequest[];
  /** TCP connections that were accepted. */
  connections(): number;
  reset(): void;
  setOutage(on: boolean): void;
  /** While on, whatever would change something is AccessDenied. */
  setReadOnly(on: boolean): void;
  close(): Promise<void>;
}

const DENIED = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>';

export async function startCountingProxy(targetUrl: string): Promise<CountingProxy> {
  const target = new URL(targetUrl);
  const upstream = new http.Agent({ keepAlive: true });
  const sockets = new Set<Socket>();
  let outage = false;
  let readOnly = false;
  let seen: ProxiedRequest[] = [];
  let bytesDown = 0;
  let bytesUp = 0;
  let accepted = 0;

  const server = http.createServer((request, response) => {
    seen.push(describeRequest(request));
    if (readOnly && request.method !== 'GET' && request.method !== 'HEAD') {
      request.resume().on('end', () => response.writeHead(403, { 'content-type': 'application/xml' }).end(DENIED));
      return;
    }
    const forwarded = http.request({
      agent: upstream,
      host: target.hostname,
      port: target.port === '' ? 80 : target.port,
      method: request.method,
      path: request.url,
      headers: request.headers,
    });
    request.on('data', (piece: Buffer) => (bytesUp += piece.length));
    request.pipe(forwarded);
    forwarded.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on('data', (piece: Buffer) => (bytesDown += piece.length));
      answer.pipe(response);
      // A body that breaks off above must break off below, and never look complete.
      answer.on('error', () => response.destroy());
    });
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
  });
  server.keepAliveTimeout = 60_000;
  server.on('connection', (socket) => {
    accepted += 1;
    if (outage) {
      resetConnection(socket);
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts: () => ({ requests: seen.length, ...countKinds(seen), bytesDown, bytesUp }),
    requests: () => seen,
    connections: () => accepted,
    reset: () => {
      seen = [];
      bytesDown = 0;
      bytesUp = 0;
      accepted = 0;
    },
    setOutage: (on) => {
      outage = on;
      if (on) for (const socket of sockets) resetConnection(socket);
    },
    setReadOnly: (on) => {
      readOnly = on;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      upstream.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What a request is about. */
export function describeRequest(request: http.IncomingMessage): ProxiedRequest {
  const [path = '', query = ''] = (request.url ?? '').split('?');
  return {
    method: request.method ?? '',
    path: decodeURIComponent(path),
    query,
    range: request.headers.range,
    ifNoneMatch: request.headers['if-none-match'],
  };
}

function countKinds(requests: readonly ProxiedRequest[]): Pick<ProxyCounts, 'gets' | 'puts' | 'lists' | 'deletes'> {
  const isList = ({ query }: ProxiedRequest): boolean => query.includes('list-type=');
  const count = (method: string): number => requests.filter((request) => request.method === method).length;
  const lists = requests.filter(isList).length;
  return { gets: count('GET') - lists, lists, puts: count('PUT'), deletes: count('DELETE') };
}
