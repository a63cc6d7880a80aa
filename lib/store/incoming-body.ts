/**
 * The body of one answer as it comes, held to what its head and the caller say about it.
 *
 * A body of known length lends its own memory to the connection's reads (`room`), so that its bytes are where the caller wants them
 * when they come; of all others the pieces are copied. Whatever comes that must not come throws HttpError. Knows no socket.
 */
import { ChunkedBody } from './chunked-body.js';
import { bodyFraming, HttpError, type AnswerHead, type BodyFraming } from './http-message.js';
import type { OnBytes } from './object-store.js';

/** What becomes of a body. */
export interface BodyPlan {
  /** Exactly so many bytes must come. Undefined: as many as the server sends. */
  readonly exactBytes: number | undefined;
  /** Most bytes that are kept. */
  readonly atMostBytes: number;
  /** What becomes of a body that is longer than that, or breaks off: the request fails, or what is here is the answer. */
  readonly otherwise: 'fail' | 'cut';
  readonly onBytes?: OnBytes | undefined;
}

export class IncomingBody {
  private readonly framing: BodyFraming;
  private readonly chunks: ChunkedBody | undefined;
  /** Of the length that must come; undefined: that is not known. */
  private readonly exact: Buffer | undefined;
  private readonly pieces: Buffer[] = [];
  private keptBytes = 0;
  private cameBytes = 0;
  private isGivenUp = false;

  constructor(
    head: AnswerHead,
    readonly plan: BodyPlan,
  ) {
    const { exactBytes } = plan;
    this.framing = bodyFraming(head);
    if (exactBytes !== undefined && this.framing.kind === 'measured' && this.framing.sizeBytes !== exactBytes) {
      throw new HttpError(`the body has ${this.framing.sizeBytes} bytes, and ${exactBytes} were expected`);
    }
    this.chunks = this.framing.kind === 'chunked' ? new ChunkedBody() : undefined;
    // Not from Node's buffer pool: the caller may transfer it to a worker.
    this.exact = exactBytes === undefined ? undefined : Buffer.allocUnsafeSlow(exactBytes);
  }

  /** Whether all of it is here. */
  get isWhole(): boolean {
    if (this.chunks !== undefined) return this.chunks.hasEnded;
    return this.framing.kind === 'measured' && this.cameBytes === this.framing.sizeBytes;
  }

  /** Whether its end is not that of the connection. */
  get leavesConnection(): boolean {
    return this.framing.kind !== 'until-close';
  }

  /** The memory that the next bytes of the connection belong in; undefined: any, and they are given to `feed`. */
  room(): Buffer | undefined {
    return this.framing.kind === 'measured' ? this.exact?.subarray(this.keptBytes) : undefined;
  }

  /** So many bytes are in `room`. */
  filled(count: number): void {
    this.cameBytes += count;
    this.keptBytes += count;
    this.plan.onBytes?.(this.exact!, this.keptBytes);
  }

  /** Bytes of the connection that came elsewhere. */
  feed(piece: Buffer): void {
    let bodyBytes = piece.length;
    if (this.chunks !== undefined) {
      bodyBytes = this.chunks.feed(piece, (data) => {
        this.keep(data);
      });
    } else {
      if (this.framing.kind === 'measured') bodyBytes = Math.min(bodyBytes, this.framing.sizeBytes - this.cameBytes);
      if (bodyBytes > 0) this.keep(piece.subarray(0, bodyBytes));
    }
    if (bodyBytes < piece.length) throw new HttpError('the answer is longer than it says');
  }

  /** The connection has ended. */
  connectionEnded(): void {
    if (this.leavesConnection) throw new HttpError('the body broke off');
  }

  /** Nobody is told of it any more. */
  giveUp(): void {
    this.isGivenUp = true;
  }

  /** What was kept of it; throws when that is not all that was expected. */
  take(): Buffer {
    if (this.exact !== undefined) {
      if (this.keptBytes === this.exact.length) return this.exact;
      throw new HttpError(`the body had ${this.keptBytes} bytes, and ${this.exact.length} were expected`);
    }
    const whole = Buffer.allocUnsafeSlow(this.keptBytes);
    let at = 0;
    for (const piece of this.pieces) at += piece.copy(whole, at);
    if (at > 0) this.plan.onBytes?.(whole, at);
    return whole;
  }

  private keep(data: Buffer): void {
    if (this.isGivenUp) return;
    const { exact, plan } = this;
    const limitBytes = exact?.length ?? plan.atMostBytes;
    const kept = data.subarray(0, limitBytes - this.keptBytes);
    if (exact === undefined) this.pieces.push(Buffer.from(kept));
    else kept.copy(exact, this.keptBytes);
    this.cameBytes += data.length;
    this.keptBytes += kept.length;
    if (exact !== undefined && kept.length > 0) plan.onBytes?.(exact, this.keptBytes);
    if (kept.length < data.length) throw new HttpError(`the body has more than ${limitBytes} bytes`);
  }
}
