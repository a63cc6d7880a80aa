import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decode } from '../../mount/fuse/protocol/decode.js';
import { Opcode } from '../../mount/fuse/protocol/opcodes.js';
import type { Operation } from '../../mount/fuse/protocol/requests.js';
import { body, readRequest, requestBytes, writeRequest, type Header } from './request-bytes.js';

function operation(bytes: Uint8Array): Operation {
  const decoded = decode(bytes);
  if (!decoded.ok) throw new Error(`not decoded: ${decoded.bad.errno} ${decoded.bad.reason}`);
  return decoded.request.operation;
}

function errno(bytes: Uint8Array): string | undefined {
  const decoded = decode(bytes);
  return decoded.ok ? undefined : decoded.bad.errno;
}

const setattr = (valid: number) =>
  requestBytes(
    Opcode.SETATTR,
    body(
      [32, valid],
      [32, 0],
      [64, 9],
      [64, 5_000_000_000],
      [64, 0],
      [64, 1_700_000_000],
      [64, -5],
      [64, 0],
      [32, 123_456_789],
      [32, 999_999_999],
      [32, 0],
      [32, 0o100640],
      [32, 0],
      [32, 1000],
      [32, 1001],
      [32, 0],
    ),
  );

const allocate = (mode: number, offset: number | bigint = 4096, length: number | bigint = 8192) =>
  requestBytes(Opcode.FALLOCATE, body([64, 1], [64, offset], [64, length], [32, mode], [32, 0]));

const seek = (offset: number | bigint, whence: number) =>
  requestBytes(Opcode.LSEEK, body([64, 1], [64, offset], [32, whence], [32, 0]));

/** One of each, for the properties. */
const SAMPLES: readonly Buffer[] = [
  requestBytes(Opcode.LOOKUP, body('disk.raw')),
  requestBytes(Opcode.FORGET, body([64, 1])),
  requestBytes(Opcode.GETATTR, body([32, 0], [32, 0], [64, 0])),
  setattr(0x1ff),
  requestBytes(Opcode.READLINK, body()),
  requestBytes(Opcode.SYMLINK, body('name', 'target')),
  requestBytes(Opcode.MKNOD, body([32, 0o100644], [32, 0], [32, 0o22], [32, 0], 'name')),
  requestBytes(Opcode.MKDIR, body([32, 0o40755], [32, 0o22], 'name')),
  requestBytes(Opcode.UNLINK, body('name')),
  requestBytes(Opcode.RMDIR, body('name')),
  requestBytes(Opcode.RENAME, body([64, 7], 'old', 'new')),
  requestBytes(Opcode.RENAME2, body([64, 7], [32, 1], [32, 0], 'old', 'new')),
  requestBytes(Opcode.LINK, body([64, 7], 'name')),
  requestBytes(Opcode.OPEN, body([32, 2], [32, 0])),
  readRequest(4096, 8192),
  writeRequest(4096, Buffer.from('some bytes')),
  requestBytes(Opcode.STATFS, body()),
  requestBytes(Opcode.RELEASE, body([64, 1], [32, 0], [32, 0], [64, 0])),
  requestBytes(Opcode.FSYNC, body([64, 1], [32, 1], [32, 0])),
  requestBytes(Opcode.FLUSH, body([64, 1], [32, 0], [32, 0], [64, 0])),
  requestBytes(Opcode.GETXATTR, body([32, 0], [32, 0], 'security.capability')),
  requestBytes(Opcode.OPENDIR, body([32, 0], [32, 0])),
  requestBytes(Opcode.READDIR, body([64, 1], [64, 0], [32, 4096], [32, 0], [64, 0], [32, 0], [32, 0])),
  requestBytes(Opcode.READDIRPLUS, body([64, 1], [64, 3], [32, 4096], [32, 0], [64, 0], [32, 0], [32, 0])),
  requestBytes(Opcode.RELEASEDIR, body([64, 1], [32, 0], [32, 0], [64, 0])),
  requestBytes(Opcode.FSYNCDIR, body([64, 1], [32, 0], [32, 0])),
  requestBytes(Opcode.CREATE, body([32, 0o1102], [32, 0o100644], [32, 0o22], [32, 0], 'disk.raw')),
  requestBytes(Opcode.INTERRUPT, body([64, 42])),
  allocate(3),
  seek(4096, 3),
  requestBytes(Opcode.BATCH_FORGET, body([32, 1], [32, 0], [64, 2], [64, 1])),
  requestBytes(999, body()),
];

describe('decode', () => {
  it('reads the header', () => {
    const decoded = decode(
      requestBytes(Opcode.GETATTR, body([32, 0], [32, 0], [64, 0]), {
        unique: (1n << 63n) | 6n,
        node: 2n ** 52n,
        uid: 1,
        gid: 2,
        pid: 3,
      }),
    );
    expect(decoded.ok && decoded.request.header).toEqual({
      opcode: Opcode.GETATTR,
      unique: (1n << 63n) | 6n,
      node: 2 ** 52,
      uid: 1,
      gid: 2,
      pid: 3,
    });
  });

  it('reads offsets beyond 32 bits exactly', () => {
    expect(operation(readRequest(7 * 2 ** 40 + 3, 1 << 20))).toEqual({
      kind: 'read',
      handle: 0,
      offset: 7 * 2 ** 40 + 3,
      lengthBytes: 1 << 20,
    });
    expect(operation(writeRequest(2 ** 33, Buffer.from('ab')))).toEqual({
      kind: 'write',
      handle: 1,
      offset: 2 ** 33,
      bytes: expect.anything(),
    });
  });

  it('answers EFBIG where an offset, an end or a size is beyond 2^53', () => {
    expect(errno(readRequest(2n ** 53n, 1))).toBe('EFBIG');
    expect(errno(readRequest(2n ** 53n - 1n, 1))).toBe('EFBIG');
    expect(errno(writeRequest(2n ** 63n, Buffer.from('a')))).toBe('EFBIG');
    expect(errno(allocate(0, 0, 2n ** 53n))).toBe('EFBIG');
    expect(errno(allocate(0, 2n ** 52n, 2n ** 52n))).toBe('EFBIG');
  });

  it('answers ENXIO to a seek that starts before 0 or beyond 2^53', () => {
    expect(errno(seek(-1n, 3))).toBe('ENXIO');
    expect(operation(seek(5, 3))).toEqual({ kind: 'seek', offset: 5, whence: 'data' });
    expect(operation(seek(5, 4))).toEqual({ kind: 'seek', offset: 5, whence: 'hole' });
    expect(errno(seek(5, 2))).toBe('EINVAL');
  });

  it('maps the modes of fallocate and refuses others with EOPNOTSUPP', () => {
    const mode = (bits: number) => {
      const got = operation(allocate(bits));
      return got.kind === 'allocate' ? got.mode : undefined;
    };
    expect([0, 1, 3, 16, 17].map(mode)).toEqual([
      'allocate',
      'allocate-keep-size',
      'punch-hole',
      'zero-range',
      'zero-range-keep-size',
    ]);
    expect([2, 8, 32, 64].map((bits) => errno(allocate(bits)))).toEqual(Array(4).fill('EOPNOTSUPP'));
  });

  it('takes only the attributes that are valid, permission bits without the type', () => {
    expect(operation(setattr(0))).toEqual({ kind: 'setattr', changes: {} });
    expect(operation(setattr(1 | 2 | 4 | 8))).toEqual({
      kind: 'setattr',
      changes: { mode: 0o640, uid: 1000, gid: 1001, sizeBytes: 5_000_000_000 },
    });
    expect(operation(setattr(16 | 32))).toEqual({
      kind: 'setattr',
      changes: { atimeMs: 1_700_000_000_123, mtimeMs: -5000 + 999 },
    });
    expect(operation(setattr(16 | 32 | 128 | 256))).toEqual({
      kind: 'setattr',
      changes: { atimeMs: 'now', mtimeMs: 'now' },
    });
  });

  it('takes names and flags of opens', () => {
    expect(operation(requestBytes(Opcode.RENAME2, body([64, 7], [32, 1], [32, 0], 'old', 'neu ü')))).toEqual({
      kind: 'rename',
      name: 'old',
      newParent: 7,
      newName: 'neu ü',
      flags: 1,
    });
    expect(operation(requestBytes(Opcode.OPEN, body([32, 0o100000], [32, 0])))).toEqual({
      kind: 'open',
      flags: { write: false, truncate: false },
    });
    expect(
      operation(requestBytes(Opcode.CREATE, body([32, 0o1102], [32, 0o100644], [32, 0o22], [32, 0], 'disk.raw'))),
    ).toEqual({ kind: 'create', name: 'disk.raw', mode: 0o644, flags: { write: true, truncate: true } });
  });

  it('leaves out extensions after the operation', () => {
    const bytes = Buffer.concat([requestBytes(Opcode.LOOKUP, body('disk.raw')), Buffer.alloc(7 + 16, 'x')]);
    bytes.writeUInt32LE(bytes.length, 0);
    bytes.writeUInt16LE(2, 36);
    expect(operation(bytes)).toEqual({ kind: 'lookup', name: 'disk.raw' });
    bytes.writeUInt16LE(9999, 36);
    expect(errno(bytes)).toBe('EIO');
  });

  it('refuses a WRITE that has fewer bytes than it says, and a READ of more than was agreed on', () => {
    const cut = writeRequest(0, Buffer.alloc(100)).subarray(0, 120);
    const bytes = Buffer.from(cut);
    bytes.writeUInt32LE(bytes.length, 0);
    expect(errno(bytes)).toBe('EIO');
    expect(errno(readRequest(0, (1 << 20) + 1))).toBe('EINVAL');
  });

  it('gives an operation that it does not know as refused', () => {
    expect(operation(requestBytes(999, body()))).toEqual({ kind: 'refused' });
    expect(operation(requestBytes(Opcode.GETXATTR, body([32, 0], [32, 0], 'x')))).toEqual({ kind: 'refused' });
  });

  it('never throws: a request cut anywhere is an error with its unique number', () => {
    fc.assert(
      fc.property(fc.constantFrom(...SAMPLES), fc.nat(), (sample, cut) => {
        const bytes = sample.subarray(0, cut % sample.length);
        const decoded = decode(bytes);
        expect(decoded.ok).toBe(false);
        if (!decoded.ok) expect(decoded.bad.unique).toBe(bytes.length < 40 ? undefined : 2n);
      }),
    );
  });

  it('never throws: a request that was cut, with a length that fits, is a value', () => {
    fc.assert(
      fc.property(fc.constantFrom(...SAMPLES), fc.nat(), (sample, cut) => {
        const bytes = Buffer.from(sample.subarray(0, Math.max(40, cut % (sample.length + 1))));
        bytes.writeUInt32LE(bytes.length, 0);
        const decoded = decode(bytes);
        expect(decoded.ok ? decoded.request.header.unique : decoded.bad.unique).toBe(2n);
      }),
    );
  });

  it('never throws, whatever the bytes', () => {
    const mutation = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 12 });
    fc.assert(
      fc.property(fc.constantFrom(...SAMPLES), mutation, (sample, changes) => {
        const bytes = Buffer.from(sample);
        for (const [position, value] of changes) bytes[position % bytes.length] = value;
        const unique = bytes.readBigUInt64LE(8);
        const decoded = decode(bytes);
        expect(decoded.ok ? decoded.request.header.unique : decoded.bad.unique).toBe(unique);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        decode(bytes);
      }),
    );
  });

  it('gives back the range of any READ and WRITE', () => {
    const header: fc.Arbitrary<Header> = fc.record({
      unique: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      node: fc.bigInt({ min: 1n, max: 2n ** 53n - 1n }),
    });
    const range = fc.record({ offset: fc.maxSafeNat(), lengthBytes: fc.integer({ min: 0, max: 1 << 20 }) });
    fc.assert(
      fc.property(range, header, ({ offset, lengthBytes }, from) => {
        const decoded = decode(readRequest(offset, lengthBytes, from));
        if (!Number.isSafeInteger(offset + lengthBytes)) {
          expect(decoded.ok).toBe(false);
          return;
        }
        expect(decoded).toEqual({
          ok: true,
          request: {
            header: { opcode: 15, unique: from.unique, node: Number(from.node), uid: 0, gid: 0, pid: 1 },
            operation: { kind: 'read', handle: 0, offset, lengthBytes },
          },
        });
      }),
    );
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.uint8Array({ maxLength: 300 }), (offset, data) => {
        fc.pre(Number.isSafeInteger(offset + data.length));
        const got = operation(writeRequest(offset, data));
        expect(got.kind === 'write' && got.offset).toBe(offset);
        expect(got.kind === 'write' && Buffer.compare(got.bytes, data)).toBe(0);
      }),
    );
  });
});
