import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeInit, negotiate, parseFeatures, type KernelInit } from '../../mount/fuse/protocol/init.js';
import { Opcode } from '../../mount/fuse/protocol/opcodes.js';
import { body, requestBytes } from './request-bytes.js';

const ALL: KernelInit = {
  major: 7,
  minor: 45,
  maxReadaheadBytes: 8 * 2 ** 20,
  flags: 0x7fffffff,
  flags2: 0xffffffff,
};

/** Bits that must never be agreed on, by their names in the interface of the kernel. */
const FORBIDDEN = {
  POSIX_LOCKS: 1,
  ATOMIC_O_TRUNC: 3,
  EXPORT_SUPPORT: 4,
  DONT_MASK: 6,
  FLOCK_LOCKS: 10,
  AUTO_INVAL_DATA: 12,
  WRITEBACK_CACHE: 16,
  NO_OPEN_SUPPORT: 17,
  HANDLE_KILLPRIV: 19,
  POSIX_ACL: 20,
  CACHE_SYMLINKS: 23,
  NO_OPENDIR_SUPPORT: 24,
  EXPLICIT_INVAL_DATA: 25,
  HANDLE_KILLPRIV_V2: 28,
};

function agreed(kernel: KernelInit) {
  const negotiation = negotiate(kernel);
  if (negotiation.kind !== 'agreed') throw new Error('not agreed');
  return { reply: Buffer.from(negotiation.reply), negotiated: negotiation.negotiated };
}

describe('features to do without', () => {
  it('are not agreed on, each by its name, and nothing else is left out', () => {
    const all = negotiate(ALL);
    if (all.kind !== 'agreed') throw new Error('not agreed');
    const names = ['async-read', 'async-dio', 'parallel-dirops', 'readdirplus', 'passthrough', 'resend'];
    const bits = names.map((name) => {
      const some = negotiate(ALL, parseFeatures(name));
      if (some.kind !== 'agreed') throw new Error('not agreed');
      const left = [all.negotiated.flags ^ some.negotiated.flags, all.negotiated.flags2 ^ some.negotiated.flags2];
      const { canResend, canPassThrough } = some.negotiated;
      expect({ name, canResend, canPassThrough }).toEqual({
        name,
        canResend: name !== 'resend',
        canPassThrough: name !== 'passthrough',
      });
      return left;
    });
    expect(bits).toEqual([
      [1 << 0, 0],
      [1 << 15, 0],
      [1 << 18, 0],
      [(1 << 13) | (1 << 14), 0],
      [0, 1 << 5],
      [0, 1 << 7],
    ]);
  });

  it('are refused when their name is unknown', () => {
    expect(() => parseFeatures('resend,magic')).toThrow(/magic.*async-read/);
    expect([...parseFeatures('')]).toEqual([]);
  });
});

describe('negotiate', () => {
  it('asks for requests of 1 MiB and for 4096 of them in the background', () => {
    const { reply } = agreed(ALL);
    expect(reply).toHaveLength(64);
    expect([reply.readUInt32LE(0), reply.readUInt32LE(4)]).toEqual([7, 45]);
    expect(reply.readUInt32LE(8)).toBe(2 ** 20);
    expect([reply.readUInt16LE(16), reply.readUInt16LE(18)]).toEqual([4096, 3072]);
    expect([reply.readUInt32LE(20), reply.readUInt32LE(24), reply.readUInt16LE(28)]).toEqual([2 ** 20, 1, 256]);
  });

  it('never agrees on what would lose data or locks, whatever the kernel offers', () => {
    const offer = fc.record({
      major: fc.constant(7),
      minor: fc.integer({ min: 31, max: 99 }),
      maxReadaheadBytes: fc.nat(),
      flags: fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((flags) => (flags | (1 << 22)) >>> 0),
      flags2: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    });
    fc.assert(
      fc.property(offer, (kernel) => {
        const { reply, negotiated } = agreed(kernel);
        const flags = reply.readUInt32LE(12);
        for (const bit of Object.values(FORBIDDEN)) expect(flags & (1 << bit)).toBe(0);
        // Nothing that was not offered.
        expect((flags & ~kernel.flags) >>> 0).toBe(0);
        expect((negotiated.flags2 & ~kernel.flags2) >>> 0).toBe(0);
        // Only passthrough and re-sending, of the second word, and only when that word counts.
        expect(reply.readUInt32LE(32) & ~((1 << 5) | (1 << 7))).toBe(0);
        // Backing files on plain file systems only, and none where the kernel has no passthrough.
        expect(reply.readUInt32LE(36)).toBe(negotiated.canPassThrough ? 1 : 0);
        if ((kernel.flags & (1 << 30)) === 0) expect(reply.readUInt32LE(32)).toBe(0);
        expect(reply.readUInt32LE(4)).toBeLessThanOrEqual(kernel.minor);
        expect(reply.readUInt32LE(8)).toBeLessThanOrEqual(kernel.maxReadaheadBytes);
      }),
    );
  });

  it('refuses kernels before Linux 5.4, and those without large requests', () => {
    expect(() => negotiate({ ...ALL, minor: 30 })).toThrow(/7\.30; lazydisk needs 7\.31 \(Linux 5\.4\)/);
    expect(() => negotiate({ ...ALL, major: 6 })).toThrow(/lazydisk needs/);
    expect(() => negotiate({ ...ALL, flags: 1 })).toThrow(/1 MiB/);
  });

  it('asks a kernel with a newer major version to say it again in ours', () => {
    const negotiation = negotiate({ ...ALL, major: 8 });
    expect(negotiation.kind).toBe('again');
    expect(Buffer.from(negotiation.reply).readUInt32LE(0)).toBe(7);
  });
});

describe('decodeInit', () => {
  it('reads the second word of flags only when the kernel says that it counts', () => {
    const init = (flags: number) =>
      decodeInit(
        requestBytes(Opcode.INIT, body([32, 7], [32, 45], [32, 131072], [32, flags], [32, 128]), { unique: 9n }),
      );
    expect(init(0x40000001)).toEqual({
      unique: 9n,
      init: { major: 7, minor: 45, maxReadaheadBytes: 131072, flags: 0x40000001, flags2: 128 },
    });
    expect(init(1).init.flags2).toBe(0);
  });

  it('refuses what is not INIT', () => {
    expect(() => decodeInit(requestBytes(Opcode.GETATTR, body([64, 0], [64, 0])))).toThrow(/INIT/);
    expect(() => decodeInit(Buffer.alloc(4))).toThrow(/INIT/);
  });
});
