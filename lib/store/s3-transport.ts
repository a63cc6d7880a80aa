/**
 * The HTTP of the S3 store: connections, silence, giving up.
 *
 * Requests are sent here (`send`). Those that the minio client makes for us go through a `requestFor` of one call of the store:
 * each is destroyed when the call's signal fires, and its status and headers are kept for the call, because the client
 * throws the status away for the errors that it holds to be transient.
 *
 * Connections are kept and shared by both; the one that was used last is used next, so that few are open when little is
 * asked. A connection on which nothing moves for `idleTimeoutMs` is destroyed: a server that stalls can't hang a call for
 * ever, and a slow one that moves is not cut off.
 */
import http from 'node:http';
import https from 'node:https';
import { onAbort } from './calls.js';
import type { Pace } from './object-store.js';

/** What is known of the last request of a call. */
export interface Exchange {
  readonly signal: AbortSignal | undefined;
  response: http.IncomingMessage | undefined;
  /** Why we destroyed the request, when we did: the stream of a body says no more than "aborted". */
  silence: SilentConnection | undefined;
}

/** A request as it goes on the wire. */
export interface WireRequest {
  readonly method: string;
  readonly hostname: string;
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  /** Undefined: the body goes as fast as the connection takes it. */
  readonly pace: Pace | undefined;
}

/** Fails a request whose connection was silent; the code is that of a connection attempt that timed out. */
export class SilentConnection extends Error {
  readonly code = 'ETIMEDOUT';
}

/** What is sent in one go of a paced body: a millisecond of a fast link, so that no reader's request waits long behind it. */
const PACED_BYTES = 64 * 1024;

export class S3Transport {
  readonly agent: http.Agent;
  private readonly open: typeof http.request;

  /** `maxSockets` is a bound for accidents: how much is asked at once is the limiting decorator's choice. */
  constructor(
    secure: boolean,
    private readonly idleTimeoutMs: number,
    maxSockets = 256,
  ) {
    const options = { keepAlive: true, maxSockets, scheduling: 'lifo' as const };
    this.agent = secure ? new https.Agent(options) : new http.Agent(options);
    this.open = secure ? https.request : http.request;
  }

  /**
   * Sends a request and lends its answer to `receive`, which reads it to the end or rejects; then the connection is dropped.
   * Rejects as `receive`, or with what ended the connection.
   */
  send<T>(
    { method, hostname, port, path, headers, body, pace }: WireRequest,
    exchange: Exchange,
    receive: (response: http.IncomingMessage) => Promise<T>,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let answered = false;
      const options = { method, hostname, port, path, headers, agent: this.agent, timeout: this.idleTimeoutMs };
      const request = this.open(options, (response) => {
        answered = true;
        exchange.response = response;
        receive(response).then(resolve, (error: unknown) => {
          response.destroy();
          reject(error as Error);
        });
      });
      this.endWhenSilent(request, exchange);
      const stopListening = onAbort(exchange.signal, () => request.destroy());
      // After the head of an answer, its body tells how it ends: a refused upload breaks, and the reason is still to be read.
      request.on('error', (error) => {
        if (!answered) reject(error);
      });
      request.on('close', stopListening);
      if (body === undefined || pace === undefined) request.end(body);
      else
        sendPaced(request, body, (sizeBytes) => pace(sizeBytes, exchange.signal)).catch((error: unknown) =>
          request.destroy(error as Error),
        );
    });
  }

  /** `http.request` as the minio client calls it, always with options and a callback; its requests are those of one call. */
  requestFor(exchange: Exchange): typeof http.request {
    return ((options: http.RequestOptions, onResponse: (response: http.IncomingMessage) => void) => {
      const { signal } = exchange;
      const wire = { ...options, agent: this.agent, timeout: this.idleTimeoutMs, ...(signal && { signal }) };
      const request = this.open(wire, (response) => {
        exchange.response = response;
        onResponse(response);
      });
      this.endWhenSilent(request, exchange);
      return request;
    }) as typeof http.request;
  }

  /** Drops all connections. */
  close(): void {
    this.agent.destroy();
  }

  private endWhenSilent(request: http.ClientRequest, exchange: Exchange): void {
    request.on('timeout', () => {
      exchange.silence = new SilentConnection(`nothing moved for ${this.idleTimeoutMs / 1000} s`);
      request.destroy(exchange.silence);
    });
  }
}

/** Sends a body piece by piece, each when its turn has come; ends early when the request has ended. */
async function sendPaced(
  request: http.ClientRequest,
  body: Uint8Array,
  turn: (sizeBytes: number) => Promise<void>,
): Promise<void> {
  for (let at = 0; at < body.length; at += PACED_BYTES) {
    const piece = body.subarray(at, at + PACED_BYTES);
    await turn(piece.length);
    if (request.destroyed) return;
    request.write(piece);
  }
  request.end();
}
