/**
 * The connections of an S3 store: which one carries a request, and how a request is given up.
 *
 * Connections are kept; the one that was used last is used next, so that few are open when little is asked. How much is asked at
 * once is the limiting decorator's choice: there are as many connections as requests at the same time. Who is going to ask much
 * has spare ones opened beside the first: the requests that follow it do not wait a round trip each for theirs. A connection on which
 * nothing moves for `idleTimeoutMs` is dropped: a server that stalls can't hang a call for ever, a slow one that moves is not cut
 * off, and nobody keeps connections that are not used. Idle ones do not keep the process alive.
 */
import { onAbort } from './calls.js';
import { HttpConnection, type Answer, type Peer, type WriteBody } from './http-connection.js';
import { requestHead, type AnswerHead } from './http-message.js';
import type { BodyPlan } from './incoming-body.js';
import type { Pace } from './object-store.js';

/** What is known of a call while it is under way. */
export interface Exchange {
  readonly signal: AbortSignal | undefined;
  /** Of the last answer whose head came. */
  status: number | undefined;
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

/** What is sent in one go of a paced body: a millisecond of a fast link, so that no reader's request waits long behind it. */
const PACED_BYTES = 64 * 1024;

export class S3Transport {
  /** Connections that carry nothing, by peer; the one that was used last stands last. */
  private readonly idle = new Map<string, HttpConnection[]>();
  private readonly open = new Set<HttpConnection>();
  private readonly sessions = new Map<string, Buffer>();
  /** Peers that have had their spare connections. */
  private readonly greeted = new Set<string>();

  /** `spareConnections`: opened beside the first one to a peer. */
  constructor(
    private readonly secure: boolean,
    private readonly idleTimeoutMs: number,
    private readonly spareConnections: number,
    /** Certificates of authorities, as PEM; undefined: those that Node trusts. */
    private readonly authorities: string | undefined,
  ) {}

  /**
   * Sends a request, and takes its answer as `plan` says when the head is here. Rejects with what `plan` throws, or with what
   * ended the connection.
   */
  async send(
    { method, hostname, port, path, headers, body, pace }: WireRequest,
    exchange: Exchange,
    plan: (head: AnswerHead) => BodyPlan,
  ): Promise<Answer> {
    const head = requestHead(method, path, headers);
    const key = `${hostname}:${port}`;
    const connection = this.take(key, { hostname, port, secure: this.secure, authorities: this.authorities });
    const stopListening = onAbort(exchange.signal, () => {
      connection.end(new Error('the request was given up'));
    });
    const paced = body !== undefined && pace !== undefined;
    try {
      return await connection.send(head, paced ? piecesOf(body, pace, exchange.signal) : body, (answer) => {
        exchange.status = answer.status;
        return plan(answer);
      });
    } finally {
      stopListening();
      if (connection.isIdle) this.keep(key, connection);
    }
  }

  /** Drops all connections; requests that are under way fail. */
  close(): void {
    for (const connection of this.open) connection.end(new Error('the store was closed'));
  }

  private take(key: string, peer: Peer): HttpConnection {
    const known = this.idle.get(key)?.pop();
    if (known !== undefined) return known;
    const connection = this.connect(key, peer);
    if (!this.greeted.has(key)) {
      this.greeted.add(key);
      for (let spare = 0; spare < this.spareConnections; spare++) this.keep(key, this.connect(key, peer));
    }
    return connection;
  }

  private connect(key: string, peer: Peer): HttpConnection {
    const connection: HttpConnection = new HttpConnection(
      peer,
      this.idleTimeoutMs,
      {
        closed: () => {
          this.open.delete(connection);
          const idle = this.idle.get(key) ?? [];
          const index = idle.indexOf(connection);
          if (index >= 0) idle.splice(index, 1);
        },
        session: (session) => this.sessions.set(key, session),
      },
      this.sessions.get(key),
    );
    this.open.add(connection);
    return connection;
  }

  private keep(key: string, connection: HttpConnection): void {
    const idle = this.idle.get(key);
    if (idle === undefined) this.idle.set(key, [connection]);
    else idle.push(connection);
  }
}

/** Gives a body piece by piece, each when its turn has come. */
function piecesOf(body: Uint8Array, pace: Pace, signal: AbortSignal | undefined): WriteBody {
  return async (write) => {
    for (let at = 0; at < body.length; at += PACED_BYTES) {
      const piece = body.subarray(at, at + PACED_BYTES);
      await pace(piece.length, signal);
      write(piece);
    }
  };
}
