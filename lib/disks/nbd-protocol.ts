/**
 * The part of the NBD protocol that is spoken with qemu-nbd, bytes <-> values, pure: fixed newstyle negotiation, structured replies and
 * the context `base:allocation`. Numbers are big-endian; the names are those of the protocol's specification.
 */
import type { Bytes } from '../format/geometry.js';

export const GREETING_BYTES = 18;
export const OPTION_REPLY_BYTES = 20;
/** Of a simple reply, and of the beginning of a structured one. */
export const SIMPLE_REPLY_BYTES = 16;
export const STRUCTURED_REPLY_BYTES = 20;

const NBDMAGIC = 0x4e42444d41474943n;
const IHAVEOPT = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Fixed newstyle, and no 124 zeros. */
const CLIENT_FLAGS = 0b11;
const ALLOCATION = 'base:allocation';

export const OPTION = { go: 7, structuredReply: 8, setMetaContext: 10 } as const;
export const OPTION_REPLY = { ack: 1, info: 3, metaContext: 4 } as const;
export const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, blockStatus: 7 } as const;
export const REPLY = { none: 0, offsetData: 1, offsetHole: 2, blockStatus: 5, firstError: 0x8000 } as const;

/** What a request says beside its handle. */
export interface Request {
  readonly command: (typeof COMMAND)[keyof typeof COMMAND];
  readonly offset: Bytes;
  readonly lengthBytes: Bytes;
}

/** What an option was answered with. */
export interface OptionReply {
  readonly type: number;
  readonly lengthBytes: Bytes;
}

export interface StructuredReply {
  readonly isLast: boolean;
  readonly type: number;
  readonly handle: number;
  readonly lengthBytes: Bytes;
}

/** A piece of the disk, beginning where the one before it ends. */
export interface Extent {
  readonly lengthBytes: Bytes;
  readonly isZero: boolean;
}

/** The other side does not speak as the protocol says. */
export class ProtocolError extends Error {}

/** What the client says first, after the server's greeting. */
export function answerGreeting(greeting: Buffer): Buffer {
  if (greeting.readBigUInt64BE(0) !== NBDMAGIC || greeting.readBigUInt64BE(8) !== IHAVEOPT) {
    throw new ProtocolError('no NBD server answered');
  }
  const answer = Buffer.alloc(4);
  answer.writeUInt32BE(CLIENT_FLAGS);
  return answer;
}

export function encodeOption(option: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(16);
  header.writeBigUInt64BE(IHAVEOPT, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

/** Of the export without a name: which context is wanted. */
export function metaContextQuery(): Buffer {
  const query = Buffer.from(ALLOCATION);
  const data = Buffer.alloc(12);
  data.writeUInt32BE(1, 4);
  data.writeUInt32BE(query.length, 8);
  return Buffer.concat([data, query]);
}

/** Of the export without a name: the transmission may begin. */
export function goData(): Buffer {
  return Buffer.alloc(6);
}

export function decodeOptionReply(header: Buffer, option: number): OptionReply {
  if (header.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC || header.readUInt32BE(8) !== option) {
    throw new ProtocolError('an option was answered by something else');
  }
  return { type: header.readUInt32BE(12), lengthBytes: header.readUInt32BE(16) };
}

/** The size of the disk, when this information is about it. */
export function decodeExportSize(information: Buffer): Bytes | undefined {
  if (information.length < 10 || information.readUInt16BE(0) !== 0) return undefined;
  return Number(information.readBigUInt64BE(2));
}

export function encodeRequest(handle: number, { command, offset, lengthBytes }: Request): Buffer {
  const request = Buffer.alloc(28);
  request.writeUInt32BE(REQUEST_MAGIC, 0);
  request.writeUInt16BE(command, 6);
  request.writeBigUInt64BE(BigInt(handle), 8);
  request.writeBigUInt64BE(BigInt(offset), 16);
  request.writeUInt32BE(lengthBytes, 24);
  return request;
}

export function decodeSimpleReply(header: Buffer): { errorNumber: number; handle: number } {
  return { errorNumber: header.readUInt32BE(4), handle: Number(header.readBigUInt64BE(8)) };
}

export function decodeStructuredReply(header: Buffer): StructuredReply {
  return {
    isLast: (header.readUInt16BE(4) & 1) === 1,
    type: header.readUInt16BE(6),
    handle: Number(header.readBigUInt64BE(8)),
    lengthBytes: header.readUInt32BE(16),
  };
}

/** Extents of the one context that was asked for. */
export function decodeBlockStatus(payload: Buffer): Extent[] {
  const extents: Extent[] = [];
  for (let at = 4; at + 8 <= payload.length; at += 8) {
    // Bit 0: it is a hole; bit 1: it reads as zeros.
    extents.push({ lengthBytes: payload.readUInt32BE(at), isZero: (payload.readUInt32BE(at + 4) & 2) !== 0 });
  }
  return extents;
}

/** The errno and the message of an error. */
export function decodeError(payload: Buffer): { errorNumber: number; message: string } {
  if (payload.length < 6) throw new ProtocolError('an error has no number');
  return { errorNumber: payload.readUInt32BE(0), message: payload.subarray(6, 6 + payload.readUInt16BE(4)).toString() };
}
