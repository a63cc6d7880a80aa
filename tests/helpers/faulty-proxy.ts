/**
 * An HTTP proxy in front of an S3 server that does to requests and answers what a bad day does.
 *
 * Each request is shown to the chooser, which says what goes wrong, if anything. Requests and answers pass whole, not as
 * streams: bodies of tests are small, and half of the faults need to know the length. `Host` goes on unchanged, so that
 * signatures stay valid.
 */
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { describeRequest, type ProxiedRequest } from './counting-proxy.js';
import { resetConnection } from './reset-connection.js';
import { passed } from './waiting.js';

/** What goes wrong with one request. */
export type WireFault =
  /** The server is not asked; this comes instead. */
  | { readonly kind: 'status'; readonly status: number; readonly code: string }
  /** The connection is reset before the request has an effect. */
  | { readonly kind: 'reset' }
  /** The request has its effect; then the connection is reset. */
  | { readonly kind: 'lost answer' }
  /** The request has its effect; the answer comes so much later. */
  | { readonly kind: 'late'; readonly delayMs: number }
  /** The server is not asked, and nothing ever comes. */
  | { readonly kind: 'stall' }
  /** Half of the body comes, then a reset. */
  | { readonly kind: 'truncate' }
  /** Half of the body comes as if it were all: its length says so. */
  | { readonly kind: 'short' }
  /** One bit of the body is another one. */
  | { readonly kind: 'flip' }
  /** Another ETag than the object's. */
  | { readonly kind: 'wrong etag' }
  /** What the same request was answered the first time. */
  | { readonly kind: 'stale' };

export type FaultKind = WireFault['kind'];

/** Says what goes wrong with a request. */
export type FaultChooser = (request: ProxiedRequest) => WireFault | undefined;

export interface FaultyProxy {
  /** `http://127.0.0.1:port`: what to give as the endpoint. */
  readonly url: string;
  /** From now on; undefined: nothing goes wrong. */
  choose: FaultChooser | undefined;
  /** How many of each kind there have been. */
  counts(): Readonly<Partial<Record<FaultKind, number>>>;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly headers: http.OutgoingHttpHeaders;
  readonly body: Buffer;
}

export async function startFaultyProxy(targetUrl: string): Promise<FaultyProxy> {
  const target = new URL(targetUrl);
  const upstream = new http.Agent({ keepAlive: true });
  const sockets = new Set<Socket>();
  const counts: Partial<Record<FaultKind, number>> = {};
  /** The first answer to each listing, for `stale`. */
  const firstAnswers = new Map<string, Answer>();
  let salt = 0;

  const ask = (request: http.IncomingMessage, body: Buffer): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { method, url: path, headers } = request;
      const forwarded = http.request(
        { agent: upstream, host: target.hostname, port: target.port, method, path, headers },
        (response) => {
          collect(response).then(
            (whole) => resolve({ status: response.statusCode ?? 502, headers: response.headers, body: whole }),
            reject,
          );
        },
      );
      forwarded.on('error', reject);
      forwarded.end(body);
    });

  const serve = async (request: http.IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const described = describeRequest(request);
    const body = await collect(request);
    const fault = proxy.choose?.(described);
    if (fault !== undefined) counts[fault.kind] = (counts[fault.kind] ?? 0) + 1;
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'reset') {
      resetConnection(request.socket);
      return;
    }
    if (fault?.kind === 'status') {
      reply(response, refusal(fault.status, fault.code));
      return;
    }
    const answer = await ask(request, body);
    const name = `${described.method} ${request.url ?? ''}`;
    if (described.query.includes('list-type=') && !firstAnswers.has(name)) firstAnswers.set(name, answer);
    if (fault?.kind === 'late') await passed(fault.delayMs);
    if (fault?.kind === 'lost answer') resetConnection(request.socket);
    else if (fault?.kind === 'truncate' && answer.body.length > 1) {
      response.writeHead(answer.status, answer.headers);
      response.write(answer.body.subarray(0, answer.body.length / 2), () => resetConnection(request.socket));
    } else reply(response, spoil(answer, fault, (salt += 7919), firstAnswers.get(name)));
  };

  const server = http.createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 60_000;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    choose: undefined,
    counts: () => counts,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      upstream.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

/** Of `kinds`, each as often as the others, for a share `rate` of all requests. `random` is from 0 up to, not including, 1. */
export function randomFaults(random: () => number, rate: number, kinds: readonly WireFault[]): FaultChooser {
  return () => (random() < rate ? kinds[Math.floor(random() * kinds.length)] : undefined);
}

async function collect(message: http.IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

function reply(response: http.ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, headers);
  response.end(body);
}

function refusal(status: number, code: string): Answer {
  const body = Buffer.from(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>injected</Message></Error>`);
  return { status, headers: { 'content-type': 'application/xml', 'content-length': body.length }, body };
}

function spoil(answer: Answer, fault: WireFault | undefined, salt: number, first: Answer | undefined): Answer {
  const { headers, body } = answer;
  if (fault?.kind === 'stale') return first ?? answer;
  if (fault?.kind === 'wrong etag') return { ...answer, headers: { ...headers, etag: `"${'0'.repeat(32)}"` } };
  if (fault?.kind === 'short') {
    const half = body.subarray(0, body.length / 2);
    return { ...answer, headers: { ...headers, 'content-length': half.length }, body: half };
  }
  if (fault?.kind === 'flip' && body.length > 0) {
    const flipped = Buffer.from(body);
    flipped[salt % body.length]! ^= 1 << (salt % 8);
    return { ...answer, body: flipped };
  }
  return answer;
}
