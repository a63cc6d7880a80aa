/**
 * One connection to a server, one request at a time.
 *
 *   idle ── send ──> head ── plan ──> body ──> idle; or closed, for good
 *
 * The body of an answer goes straight from the kernel into the buffer that the caller gets: the socket is lent that buffer for
 * its reads (`onread` of node:net), so nothing is allocated, copied or queued for a piece. Only what comes together with the head
 * is copied. docs/decisions/0019-taking-in-chunks.md has the figures.
 *
 * Anything that is not as it should be ends the connection: an answer that nobody asked for, one that has more than it said, a
 * body that the caller does not want, one that came before its request was sent. It is idle again only after an answer that
 * was read to its end. Nothing is sent twice here.
 */
import net from 'node:net';
import tls from 'node:tls';
import { HEAD_END, HttpError, keepsConnection, parseHead, type AnswerHead } from './http-message.js';
import { IncomingBody, type BodyPlan } from './incoming-body.js';

/** Longest head of an answer, as Node has it; and what is read at once where no other memory is lent. */
const SCRATCH_BYTES = 16 * 1024;

/** Where to connect to. */
export interface Peer {
  readonly hostname: string;
  readonly port: number;
  readonly secure: boolean;
  /** Certificates of authorities, as PEM, in place of those that Node trusts. */
  readonly authorities?: string | undefined;
}

/** Writes a body by pieces; resolves when all of it was given to `write`. */
export type WriteBody = (write: (piece: Uint8Array) => void) => Promise<void>;

/** An answer that was read to its end. */
export interface Answer {
  readonly head: AnswerHead;
  readonly body: Buffer;
}

/** Fails a request whose connection was silent; the code is that of a connection attempt that timed out. */
export class SilentConnection extends Error {
  readonly code = 'ETIMEDOUT';
}

/** Fails a request whose connection ended. */
class ClosedConnection extends Error {
  readonly code = 'ECONNRESET';
}

/** Told of what happens to a connection. */
export interface ConnectionListener {
  /** It carries no request any more. */
  closed(): void;
  /** A later TLS connection to this peer can be made sooner with this. */
  session(session: Buffer): void;
}

interface Exchange {
  readonly plan: (head: AnswerHead) => BodyPlan;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  /** What came of the answer. */
  incoming: { readonly head: AnswerHead; readonly body: IncomingBody } | undefined;
}

export class HttpConnection {
  private readonly socket: net.Socket;
  private readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  /** Bytes of an unfinished head in `scratch`. */
  private headBytes = 0;
  private exchange: Exchange | undefined;
  private sending: 'nothing' | 'pieces' = 'nothing';
  private isClosed = false;

  /** Begins to connect; that alone does not keep the process alive. `session`: of an earlier TLS connection to the same peer. */
  constructor(
    { hostname: host, port, secure, authorities }: Peer,
    idleTimeoutMs: number,
    private readonly listener: ConnectionListener,
    session: Buffer | undefined,
  ) {
    const onread = { buffer: () => this.room(), callback: (count: number) => this.came(count) };
    const options = { host, port, onread, keepAlive: true, noDelay: true };
    this.socket = secure
      ? tls.connect({
          ...options,
          servername: net.isIP(host) === 0 ? host : '',
          session,
          ca: authorities,
        } as tls.ConnectionOptions)
      : net.connect(options);
    this.socket.unref();
    this.socket.setTimeout(idleTimeoutMs);
    this.socket.on('session', (newer: Buffer) => {
      listener.session(newer);
    });
    this.socket.on('timeout', () => {
      this.end(new SilentConnection(`nothing moved for ${idleTimeoutMs / 1000} s`));
    });
    this.socket.on('end', () => {
      this.serverEnded();
    });
    this.socket.on('error', (error) => {
      this.end(error);
    });
    this.socket.on('close', () => {
      this.end(new ClosedConnection('the connection was closed'));
    });
  }

  /**
   * Sends a head and a body, and takes the answer as `plan` says when its head is here; what `plan` throws fails the request.
   * Only when no request is under way. Rejects with that, HttpError, SilentConnection, what ended the connection.
   */
  send(head: string, body: Uint8Array | WriteBody | undefined, plan: (head: AnswerHead) => BodyPlan): Promise<Answer> {
    return new Promise<Answer>((resolve, reject) => {
      this.exchange = { plan, resolve, reject, incoming: undefined };
      this.socket.ref();
      this.socket.cork();
      this.socket.write(head, 'latin1');
      if (typeof body === 'function') this.writePieces(body);
      else if (body !== undefined) this.socket.write(body);
      this.socket.uncork();
    });
  }

  /** Ends the connection; a request that is under way fails with `error`, or with what came when that is good enough. */
  end(error: Error): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.socket.destroy();
    this.listener.closed();
    const { exchange } = this;
    this.exchange = undefined;
    if (exchange === undefined) return;
    const { incoming } = exchange;
    incoming?.body.giveUp();
    if (incoming?.body.plan.otherwise === 'cut') exchange.resolve({ head: incoming.head, body: incoming.body.take() });
    else exchange.reject(error);
  }

  private writePieces(body: WriteBody): void {
    this.sending = 'pieces';
    const write = (piece: Uint8Array): void => {
      if (!this.isClosed) this.socket.write(piece);
    };
    body(write).then(
      () => {
        this.sending = 'nothing';
      },
      (error: unknown) => {
        this.end(error as Error);
      },
    );
  }

  /** What the next read may fill. */
  private room(): Buffer {
    return this.exchange?.incoming?.body.room() ?? this.scratch.subarray(this.headBytes);
  }

  /** So many bytes are in what `room` gave last. Returns whether to go on reading. */
  private came(count: number): boolean {
    if (this.isClosed) return false;
    try {
      if (this.exchange === undefined) throw new HttpError('the server sent what nobody had asked for');
      const { incoming } = this.exchange;
      if (incoming === undefined) {
        this.headBytes += count;
        this.headCame(this.exchange, Math.max(0, this.headBytes - count - HEAD_END.length));
      } else {
        if (incoming.body.room() === undefined) incoming.body.feed(this.scratch.subarray(0, count));
        else incoming.body.filled(count);
        this.answerIfWhole();
      }
    } catch (error) {
      this.end(error as Error);
    }
    return !this.isClosed;
  }

  /** There is no end of a head before `searchedBytes`. */
  private headCame(exchange: Exchange, searchedBytes: number): void {
    const came = this.scratch.subarray(0, this.headBytes);
    const end = came.indexOf(HEAD_END, searchedBytes, 'latin1');
    if (end < 0) {
      if (this.headBytes === SCRATCH_BYTES) throw new HttpError('the head of the answer is too long');
      return;
    }
    const head = parseHead(came.toString('latin1', 0, end));
    const rest = came.subarray(end + HEAD_END.length);
    if (head.status >= 200) {
      this.headBytes = 0;
      const body = new IncomingBody(head, exchange.plan(head));
      exchange.incoming = { head, body };
      body.feed(rest);
      this.answerIfWhole();
    } else {
      // A note on the way (100, 103): the answer itself follows.
      came.copyWithin(0, end + HEAD_END.length);
      this.headBytes = rest.length;
      this.headCame(exchange, 0);
    }
  }

  private serverEnded(): void {
    try {
      this.exchange?.incoming?.body.connectionEnded();
      this.answerIfWhole('at its end');
    } catch (error) {
      this.end(error as Error);
    }
    this.end(new ClosedConnection('the server closed the connection'));
  }

  private answerIfWhole(when: 'as it says' | 'at its end' = 'as it says'): void {
    const { exchange } = this;
    if (exchange?.incoming === undefined) return;
    const { head, body } = exchange.incoming;
    if (when === 'as it says' && !body.isWhole) return;
    const answer = { head, body: body.take() };
    if (this.exchange === undefined) return; // given up by who was told of its last bytes
    this.exchange = undefined;
    const isSent = this.sending === 'nothing' && this.socket.writableLength === 0;
    if (isSent && body.leavesConnection && keepsConnection(head)) this.socket.unref();
    else this.end(new ClosedConnection('the connection is not kept'));
    exchange.resolve(answer);
  }

  /** Whether it can carry another request. */
  get isIdle(): boolean {
    return this.exchange === undefined && !this.isClosed;
  }
}
