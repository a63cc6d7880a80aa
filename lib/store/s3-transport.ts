/**
 * The HTTP of the S3 store: what the minio client does not offer by itself.
 *
 * A call of the store runs inside `exchange`, and every request that the client sends meanwhile belongs to it: it is
 * destroyed when the call's signal fires, and its status and headers are kept for the call, because the client throws
 * the status away for the errors that it holds to be transient. The link between the two is Node's AsyncLocalStorage, as
 * the client has no parameter that it would hand through.
 *
 * A connection on which nothing moves for `idleTimeoutMs` is destroyed: a server that stalls can't hang a call for ever,
 * and a slow one that moves is not cut off.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import http from 'node:http';
import https from 'node:https';

/** What is known of the last request of a call. */
export interface Exchange {
  readonly signal: AbortSignal | undefined;
  response: http.IncomingMessage | undefined;
  /** Why we destroyed the request, when we did: the stream of a body says no more than "aborted". */
  silence: SilentConnection | undefined;
}

/** Fails a request whose connection was silent; the code is that of a connection attempt that timed out. */
export class SilentConnection extends Error {
  readonly code = 'ETIMEDOUT';
}

export class S3Transport {
  readonly agent: http.Agent;
  private readonly current = new AsyncLocalStorage<Exchange>();
  private readonly send: typeof http.request;

  /** `maxSockets` is a bound for accidents: how much is asked at once is the limiting decorator's choice. */
  constructor(
    secure: boolean,
    private readonly idleTimeoutMs: number,
    maxSockets = 256,
  ) {
    const options = { keepAlive: true, maxSockets, scheduling: 'lifo' as const };
    this.agent = secure ? new https.Agent(options) : new http.Agent(options);
    this.send = secure ? https.request : http.request;
  }

  /** Runs `action`; its requests end with `signal`. The exchange tells of the response, also after a failure. */
  async exchange<T>(exchange: Exchange, action: () => Promise<T>): Promise<T> {
    try {
      return await this.current.run(exchange, action);
    } catch (error) {
      // A body that nobody reads would keep its connection for ever.
      if (exchange.response?.readableFlowing === null) exchange.response.resume();
      throw exchange.silence ?? error;
    }
  }

  /** `http.request` as the minio client calls it: always with options and a callback. */
  readonly request = ((options: http.RequestOptions, onResponse: (response: http.IncomingMessage) => void) => {
    const exchange = this.current.getStore();
    const request = this.send(
      {
        ...options,
        agent: this.agent,
        timeout: this.idleTimeoutMs,
        ...(exchange?.signal === undefined ? {} : { signal: exchange.signal }),
      },
      (response) => {
        if (exchange !== undefined) exchange.response = response;
        onResponse(response);
      },
    );
    request.on('timeout', () => {
      const silence = new SilentConnection(`nothing moved for ${this.idleTimeoutMs / 1000} s`);
      if (exchange !== undefined) exchange.silence = silence;
      request.destroy(silence);
    });
    return request;
  }) as typeof http.request;

  /** Drops all connections. */
  close(): void {
    this.agent.destroy();
  }
}
