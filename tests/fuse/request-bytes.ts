/** Requests as the kernel writes them, for tests. */
import { Opcode } from '../../mount/fuse/protocol/opcodes.js';

export interface Header {
  unique?: bigint;
  node?: bigint;
  uid?: number;
  gid?: number;
  pid?: number;
}

/** A whole request: header and body. */
export function requestBytes(opcode: number, body: Uint8Array, header: Header = {}): Buffer {
  const bytes = Buffer.alloc(40 + body.byteLength);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(opcode, 4);
  bytes.writeBigUInt64LE(header.unique ?? 2n, 8);
  bytes.writeBigUInt64LE(header.node ?? 1n, 16);
  bytes.writeUInt32LE(header.uid ?? 0, 24);
  bytes.writeUInt32LE(header.gid ?? 0, 28);
  bytes.writeUInt32LE(header.pid ?? 1, 32);
  bytes.set(body, 40);
  return bytes;
}

/** Fields one after the other: [bits, value] or text with its final zero. */
export function body(...fields: (readonly [32 | 64, number | bigint] | string)[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (typeof field === 'string') return Buffer.from(`${field}\0`, 'utf8');
      const bytes = Buffer.alloc(field[0] / 8);
      if (field[0] === 32) bytes.writeUInt32LE(Number(field[1]), 0);
      else bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(field[1])), 0);
      return bytes;
    }),
  );
}

export function readRequest(offset: number | bigint, size: number, header: Header = {}): Buffer {
  return requestBytes(Opcode.READ, body([64, 0], [64, offset], [32, size], [32, 0], [64, 0], [32, 0], [32, 0]), header);
}

export function writeRequest(offset: number | bigint, data: Uint8Array, header: Header = {}): Buffer {
  const fixed = body([64, 1], [64, offset], [32, data.byteLength], [32, 0], [64, 0], [32, 0], [32, 0]);
  return requestBytes(Opcode.WRITE, Buffer.concat([fixed, data]), header);
}
