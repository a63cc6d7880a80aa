/**
 * A connection to an NBD server on this host: reads, writes and asks for zeros, any number of requests at once.
 *
 * One loop takes the replies in and hands each to its request by its handle. Bytes of a read go from the socket into the memory of
 * whoever asked. When the connection ends or the server speaks nonsense, every request fails with the same error.
 */
import type { Socket } from 'node:net';
import type { Bytes } from '../format/geometry.js';
import { ByteReader } from './byte-reader.js';
import {
  answerGreeting,
  COMMAND,
  decodeBlockStatus,
  decodeError,
  decodeExportSize,
  decodeOptionReply,
  decodeSimpleReply,
  decodeStructuredReply,
  encodeOption,
  encodeRequest,
  GREETING_BYTES,
  goData,
  metaContextQuery,
  OPTION,
  OPTION_REPLY,
  OPTION_REPLY_BYTES,
  ProtocolError,
  REPLY,
  SIMPLE_REPLY_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_BYTES,
  STRUCTURED_REPLY_MAGIC,
  type Extent,
  type Request,
} from './nbd-protocol.js';

/** More is not asked about at once: the protocol has 32 bits for it. */
const MOST_STATUS_BYTES = 2 ** 31;
/** No message of a server, data aside, is longer. */
const MOST_MESSAGE_BYTES = 16 * 1024 * 1024;

interface Pending {
  readonly request: Request;
  /** Of a read: where its bytes go. */
  readonly target: Uint8Array | undefined;
  extents: Extent[];
  failure: string | undefined;
  readonly resolve: (extents: Extent[]) => void;
  readonly reject: (error: unknown) => void;
}

export class NbdClient {
  readonly #pending = new Map<number, Pending>();
  #nextHandle = 1;
  #broken: unknown;

  private constructor(
    private readonly socket: Socket,
    private readonly reader: ByteReader,
    readonly sizeBytes: Bytes,
    private readonly knowsZeros: boolean,
  ) {}

  /** Negotiates on a connected socket, which belongs to the client from then on. Rejects when the server can't do what is needed. */
  static async open(socket: Socket): Promise<NbdClient> {
    socket.on('error', () => undefined); // whoever reads is told
    const reader = new ByteReader(socket as AsyncIterable<Buffer>);
    try {
      socket.write(answerGreeting(await reader.take(GREETING_BYTES)));
      const structured = await negotiate(socket, reader, OPTION.structuredReply);
      if (!structured.accepted) throw new ProtocolError('the NBD server has no structured replies');
      const context = await negotiate(socket, reader, OPTION.setMetaContext, metaContextQuery());
      const knowsZeros = context.replies.some(({ type }) => type === OPTION_REPLY.metaContext);
      const go = await negotiate(socket, reader, OPTION.go, goData());
      const size = go.replies.map(({ data }) => decodeExportSize(data)).find((found) => found !== undefined);
      if (!go.accepted || size === undefined) throw new ProtocolError('the NBD server exports nothing');
      const client = new NbdClient(socket, reader, size, knowsZeros);
      void client.#takeReplies();
      return client;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Fills `target` from `offset`. */
  async read(offset: Bytes, target: Uint8Array): Promise<void> {
    await this.#send({ command: COMMAND.read, offset, lengthBytes: target.length }, target);
  }

  /** `bytes` must not change before it is done. */
  async write(offset: Bytes, bytes: Uint8Array): Promise<void> {
    await this.#send({ command: COMMAND.write, offset, lengthBytes: bytes.length }, undefined, bytes);
  }

  async flush(): Promise<void> {
    await this.#send({ command: COMMAND.flush, offset: 0, lengthBytes: 0 });
  }

  /** What stands from `offset` on, as far as the server tells in one go: at least one extent, none of length 0. */
  async extents(offset: Bytes): Promise<readonly Extent[]> {
    const lengthBytes = Math.min(this.sizeBytes - offset, MOST_STATUS_BYTES);
    if (!this.knowsZeros) return [{ lengthBytes, isZero: false }];
    const extents = await this.#send({ command: COMMAND.blockStatus, offset, lengthBytes });
    const known = extents.filter((extent) => extent.lengthBytes > 0);
    if (known.length === 0) throw new ProtocolError('the NBD server does not tell what is allocated');
    return known;
  }

  /** Says goodbye; the server ends the connection. No request may be under way. */
  disconnect(): void {
    this.#broken ??= new Error('the connection was closed');
    this.socket.end(encodeRequest(0, { command: COMMAND.disconnect, offset: 0, lengthBytes: 0 }));
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.socket.destroy();
  }

  #send(request: Request, target?: Uint8Array, payload?: Uint8Array): Promise<Extent[]> {
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) {
        reject(this.#broken as Error);
        return;
      }
      const handle = this.#nextHandle++;
      this.#pending.set(handle, { request, target, extents: [], failure: undefined, resolve, reject });
      this.socket.write(encodeRequest(handle, request));
      if (payload !== undefined) this.socket.write(payload);
    });
  }

  async #takeReplies(): Promise<void> {
    try {
      for (;;) await this.#takeReply();
    } catch (error) {
      this.#broken ??= error;
      for (const { reject } of this.#pending.values()) reject(error);
      this.#pending.clear();
      this.socket.destroy();
    }
  }

  async #takeReply(): Promise<void> {
    const begin = await this.reader.take(SIMPLE_REPLY_BYTES);
    const magic = begin.readUInt32BE(0);
    if (magic === SIMPLE_REPLY_MAGIC) {
      const { errorNumber, handle } = decodeSimpleReply(begin);
      const pending = this.#of(handle);
      if (errorNumber !== 0) pending.failure = failureOf(errorNumber, '');
      else if (pending.target !== undefined) throw new ProtocolError('a read was answered without its data');
      this.#settle(handle, pending);
      return;
    }
    if (magic !== STRUCTURED_REPLY_MAGIC) throw new ProtocolError('a reply does not begin as one');
    const header = Buffer.concat([begin, await this.reader.take(STRUCTURED_REPLY_BYTES - SIMPLE_REPLY_BYTES)]);
    const { isLast, type, handle, lengthBytes } = decodeStructuredReply(header);
    const pending = this.#of(handle);
    await this.#takePayload(pending, type, lengthBytes);
    if (isLast) this.#settle(handle, pending);
  }

  async #takePayload(pending: Pending, type: number, lengthBytes: Bytes): Promise<void> {
    if (type === REPLY.offsetData && lengthBytes > 8) {
      const offset = Number((await this.reader.take(8)).readBigUInt64BE(0));
      await this.reader.into(part(pending, offset, lengthBytes - 8));
      return;
    }
    if (lengthBytes > MOST_MESSAGE_BYTES) throw new ProtocolError('a reply is too long');
    const payload = await this.reader.take(lengthBytes);
    if (type === REPLY.offsetHole && lengthBytes === 12) {
      part(pending, Number(payload.readBigUInt64BE(0)), payload.readUInt32BE(8)).fill(0);
    } else if (type === REPLY.blockStatus) {
      pending.extents = decodeBlockStatus(payload);
    } else if (type >= REPLY.firstError) {
      const { errorNumber, message } = decodeError(payload);
      pending.failure ??= failureOf(errorNumber, message);
    } else if (type !== REPLY.none) {
      throw new ProtocolError(`a reply is of the unknown type ${String(type)}`);
    }
  }

  #of(handle: number): Pending {
    const pending = this.#pending.get(handle);
    if (pending === undefined) throw new ProtocolError('a reply has no request');
    return pending;
  }

  #settle(handle: number, { failure, extents, resolve, reject }: Pending): void {
    this.#pending.delete(handle);
    if (failure === undefined) resolve(extents);
    else reject(new Error(failure));
  }
}

/** The part of a read's target that a reply speaks of. */
function part({ request, target }: Pending, offset: number, lengthBytes: number): Uint8Array {
  const from = offset - request.offset;
  if (target === undefined || from < 0 || from + lengthBytes > target.length) {
    throw new ProtocolError('a reply holds what was not asked for');
  }
  return target.subarray(from, from + lengthBytes);
}

function failureOf(errorNumber: number, message: string): string {
  return message === '' ? `error ${String(errorNumber)}` : message;
}

/** Sends an option and takes its replies in, the last of which says whether it was accepted. */
async function negotiate(
  socket: Socket,
  reader: ByteReader,
  option: number,
  data?: Buffer,
): Promise<{ accepted: boolean; replies: { type: number; data: Buffer }[] }> {
  socket.write(encodeOption(option, data));
  const replies: { type: number; data: Buffer }[] = [];
  for (;;) {
    const { type, lengthBytes } = decodeOptionReply(await reader.take(OPTION_REPLY_BYTES), option);
    if (lengthBytes > MOST_MESSAGE_BYTES) throw new ProtocolError('an answer is too long');
    const answer = await reader.take(lengthBytes);
    if (type === OPTION_REPLY.ack) return { accepted: true, replies };
    if (type >= 2 ** 31) return { accepted: false, replies };
    replies.push({ type, data: answer });
  }
}
