import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Attributes } from '../../mount/fuse/file-system.js';
import {
  encodeAttributes,
  encodeCreated,
  encodeEntry,
  encodeOffset,
  encodeOpened,
  encodeStatistics,
  encodeWritten,
  replyHeader,
} from '../../mount/fuse/protocol/encode.js';
import { encodeDirectoryPage, encodeDirectoryPagePlus, pageOf } from '../../mount/fuse/protocol/directory.js';

const ATTRIBUTES: Attributes = {
  node: 2 ** 40 + 5,
  kind: 'file',
  mode: 0o660,
  uid: 1000,
  gid: 1001,
  links: 1,
  sizeBytes: 8 * 2 ** 40,
  allocatedBytes: 4097,
  atimeMs: 1_700_000_000_123,
  mtimeMs: -1,
  ctimeMs: 0,
  blockSizeBytes: 4096,
};
const OPENED = { handle: 2 ** 33, directIo: true, keepCache: false, noFlush: true };

const buffer = (bytes: Uint8Array) => Buffer.from(bytes);

describe('replyHeader', () => {
  it('holds the length of the whole reply, the negative errno, and the unique number with all its bits', () => {
    const header = buffer(replyHeader((1n << 63n) | 7n, 0, 88));
    expect([header.readUInt32LE(0), header.readInt32LE(4), header.readBigUInt64LE(8)]).toEqual([
      104,
      0,
      (1n << 63n) | 7n,
    ]);
    expect(buffer(replyHeader(2n, 5, 0)).readInt32LE(4)).toBe(-5);
  });

  it('refuses an error that has a body', () => {
    expect(() => replyHeader(2n, 5, 1)).toThrow(RangeError);
    expect(() => replyHeader(2n, -5, 0)).toThrow(RangeError);
  });
});

describe('bodies', () => {
  it('have the lengths that the kernel wants', () => {
    expect(encodeEntry(ATTRIBUTES)).toHaveLength(128);
    expect(encodeAttributes(ATTRIBUTES)).toHaveLength(104);
    expect(encodeOpened(OPENED)).toHaveLength(16);
    expect(encodeCreated(ATTRIBUTES, OPENED)).toHaveLength(144);
    expect(encodeWritten(1)).toHaveLength(8);
    expect(encodeOffset(1)).toHaveLength(8);
    expect(
      encodeStatistics({ blockSizeBytes: 4096, totalBytes: 1, freeBytes: 1, files: 1, freeFiles: 1, nameMax: 255 }),
    ).toHaveLength(80);
  });

  it('hold the attributes', () => {
    const body = buffer(encodeAttributes(ATTRIBUTES));
    expect(body.readBigUInt64LE(0)).toBe(1n);
    expect(body.readUInt32LE(8)).toBe(0);
    const attributes = body.subarray(16);
    expect(attributes.readBigUInt64LE(0)).toBe(2n ** 40n + 5n);
    expect(attributes.readBigUInt64LE(8)).toBe(8n * 2n ** 40n);
    expect(attributes.readBigUInt64LE(16)).toBe(9n);
    expect([attributes.readBigInt64LE(24), attributes.readUInt32LE(48)]).toEqual([1_700_000_000n, 123_000_000]);
    expect([attributes.readBigInt64LE(32), attributes.readUInt32LE(52)]).toEqual([-1n, 999_000_000]);
    expect(attributes.readUInt32LE(60)).toBe(0o100660);
    expect([64, 68, 72, 76, 80, 84].map((at) => attributes.readUInt32LE(at))).toEqual([1, 1000, 1001, 0, 4096, 0]);
  });

  it('let entries and attributes live for a second', () => {
    const entry = buffer(encodeEntry(ATTRIBUTES));
    expect(entry.readBigUInt64LE(0)).toBe(2n ** 40n + 5n);
    expect([entry.readBigUInt64LE(16), entry.readBigUInt64LE(24)]).toEqual([1n, 1n]);
    expect([entry.readUInt32LE(32), entry.readUInt32LE(36)]).toEqual([0, 0]);
  });

  it('hold the handle and the flags of an open file', () => {
    const body = buffer(encodeOpened(OPENED));
    expect(body.readBigUInt64LE(0)).toBe(2n ** 33n);
    expect(body.readUInt32LE(8)).toBe(0b100001);
    expect(buffer(encodeOpened({ ...OPENED, directIo: false, keepCache: true, noFlush: false })).readUInt32LE(8)).toBe(
      2,
    );
  });
});

interface Parsed {
  readonly name: string;
  readonly node: bigint;
  readonly position: number;
  readonly type: number;
  readonly entryNode?: bigint;
}

/** Reads a page as the kernel does. */
function parse(body: Buffer, plus: boolean): Parsed[] {
  const found: Parsed[] = [];
  for (let at = 0; at < body.length;) {
    const dirent = plus ? at + 128 : at;
    const length = body.readUInt32LE(dirent + 16);
    found.push({
      name: body.toString('utf8', dirent + 24, dirent + 24 + length),
      node: body.readBigUInt64LE(dirent),
      position: Number(body.readBigUInt64LE(dirent + 8)),
      type: body.readUInt32LE(dirent + 20),
      ...(plus && { entryNode: body.readBigUInt64LE(at) }),
    });
    at = Math.ceil((dirent + 24 + length) / 8) * 8;
  }
  return found;
}

describe('pages of a directory', () => {
  const entry = fc.record({
    name: fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }),
    node: fc.integer({ min: 1, max: 2 ** 31 }),
    kind: fc.constantFrom('file' as const, 'directory' as const, 'symlink' as const),
  });

  it('list every entry once, in order, and none exceeds its room', () => {
    fc.assert(
      fc.property(fc.array(entry), fc.integer({ min: 512, max: 4096 }), fc.boolean(), (entries, room, plus) => {
        const named = entries.map((one) => ({ ...one, nameBytes: Buffer.from(one.name, 'utf8') }));
        fc.pre(named.every((one) => one.nameBytes.length <= 300));
        const seen: Parsed[] = [];
        for (let position = 0; ; position = seen.at(-1)!.position) {
          const page = pageOf(named, position, room, plus);
          expect(page).toBeDefined();
          if (page!.length === 0) break;
          const bytes = plus
            ? encodeDirectoryPagePlus(
                page!,
                position,
                page!.map((one) => ({ ...ATTRIBUTES, node: one.node })),
              )
            : encodeDirectoryPage(page!, position);
          expect(bytes.length).toBeLessThanOrEqual(room);
          seen.push(...parse(Buffer.from(bytes), plus));
        }
        expect(seen.map((one) => one.name)).toEqual(entries.map((one) => one.name));
        expect(seen.map((one) => one.node)).toEqual(entries.map((one) => BigInt(one.node)));
        expect(seen.map((one) => one.type)).toEqual(
          entries.map((one) => ({ file: 8, directory: 4, symlink: 10 })[one.kind]),
        );
        if (plus) expect(seen.map((one) => one.entryNode)).toEqual(seen.map((one) => one.node));
      }),
    );
  });

  it('say node 0 where the attributes are not known', () => {
    const named = [{ name: 'x', node: 5, kind: 'file' as const, nameBytes: Buffer.from('x') }];
    expect(parse(Buffer.from(encodeDirectoryPagePlus(named, 0, [undefined])), true)).toEqual([
      { name: 'x', node: 5n, position: 1, type: 8, entryNode: 0n },
    ]);
  });

  it('tell a room that is too small from the end', () => {
    const named = [{ name: 'x', node: 5, kind: 'file' as const, nameBytes: Buffer.from('x') }];
    expect(pageOf(named, 0, 31, false)).toBeUndefined();
    expect(pageOf(named, 0, 32, false)).toHaveLength(1);
    expect(pageOf(named, 1, 31, false)).toEqual([]);
    expect(pageOf(named, 99, 4096, false)).toEqual([]);
  });
});
