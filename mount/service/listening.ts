/**
 * An HTTP server on a TCP address: the life that `--metrics` and `--dashboard` share. What is answered is the handler's.
 *
 * - It listens when `listen` resolves, and every way in which the kernel can refuse that is one sentence that names the option.
 * - On a loopback address, a request whose Host is a name from elsewhere is refused (403) before the handler sees it: a page in
 *   a browser on this host must not get through by DNS rebinding. On other addresses the handler has to know whom it answers.
 * - Connections, the time for a request to arrive and idle connections are bounded: a scraper gone mad takes nothing from guests.
 * - A handler that fails is logged and answered with 500. `close` cuts what is open (event streams too) and frees the port.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import { formatListenAddress, isLocalHostHeader, isLoopback, type ListenAddress } from './listen-address.js';

/** Answers a request. May keep the response open, as an event stream does. */
export type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

export interface ListeningParts {
  readonly address: ListenAddress;
  /** The option that asked for it, as `--metrics`: for the sentences of errors. */
  readonly option: string;
  readonly handler: HttpHandler;
  readonly log: Log;
}

const MOST_CONNECTIONS = 64;
/** For the whole request to arrive; its answer may take any time. */
const REQUEST_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 30_000;

export class HttpListener {
  private constructor(
    private readonly server: Server,
    /** With the port that the kernel chose when 0 was asked for. */
    readonly address: ListenAddress,
  ) {}

  /** BUSY: the port is taken. USAGE: no address of this host. REFUSED: no right to this port. */
  static async listen(parts: ListeningParts): Promise<HttpListener> {
    const { address } = parts;
    const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS });
    server.maxConnections = MOST_CONNECTIONS;
    server.keepAliveTimeout = IDLE_TIMEOUT_MS;
    server.on('request', (request, response) => {
      void answer(parts, request, response);
    });
    await bind(server, parts);
    server.on('error', (error) => parts.log.error('A listening socket failed.', { option: parts.option, error }));
    return new HttpListener(server, { host: address.host, port: (server.address() as AddressInfo).port });
  }

  /** Without a path: `http://127.0.0.1:9100`. */
  get url(): string {
    return `http://${formatListenAddress(this.address)}`;
  }

  /** Frees the port. Whatever is being answered is cut off. Closing twice does nothing. */
  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }
}

function bind(server: Server, { address, option }: ListeningParts): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(refusal(error, address, option));
    server.once('error', failed);
    server.listen({ host: address.host, port: address.port }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

async function answer(
  { address, option, handler, log }: ListeningParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.on('error', () => undefined); // the client went away
  if (isLoopback(address) && !isLocalHostHeader(request.headers.host)) {
    response.writeHead(403, { 'content-type': 'text/plain; charset=utf-8' });
    response.end('This page answers to its address and to localhost only.\n');
    return;
  }
  try {
    await handler(request, response);
  } catch (error) {
    log.error('A request over HTTP could not be answered.', { option, method: request.method, error });
    if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain; charset=utf-8' });
    response.end();
  }
}

function refusal(error: Error, address: ListenAddress, option: string): LazydiskError {
  const where = formatListenAddress(address);
  const options = { cause: error, facts: { address: where } };
  switch (errnoOf(error)) {
    case 'EADDRINUSE':
      return new LazydiskError('BUSY', `${option} ${where} is taken by another process: choose another port.`, options);
    case 'EADDRNOTAVAIL':
      return new LazydiskError(
        'USAGE',
        `${option} ${where} is not an address of this host: see \`ip address\`.`,
        options,
      );
    case 'EACCES':
      return new LazydiskError(
        'REFUSED',
        `${option} ${where} needs a right that you lack: use a port from 1024.`,
        options,
      );
    default:
      return new LazydiskError('IO', `${option} can't listen on ${where}: ${messageOf(error)}.`, options);
  }
}
