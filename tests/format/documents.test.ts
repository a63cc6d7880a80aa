import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeMarker, encodeMarker } from '../../lib/format/marker.js';
import { decodeSnapshotRecord, encodeSnapshotRecord, type SnapshotRecord } from '../../lib/format/snapshot-record.js';
import { decodeTag, encodeTag } from '../../lib/format/tag.js';
import { decodeTombstone, encodeTombstone } from '../../lib/format/tombstone.js';
import { decodeWriterLock, encodeWriterLock, type WriterLock } from '../../lib/format/writer-lock.js';
import { hasCode } from '../../lib/util/errors.js';
import { chunkSizes, mutations, numbers, randomIds, snapshotRecords } from './examples.js';

const RECORD: SnapshotRecord = {
  formatVersion: 1,
  requires: [],
  imageId: '1'.repeat(32),
  number: 3,
  sizeBytes: 1_000_000,
  chunkSizeBytes: 65536,
  root: { id: 'a'.repeat(64), segment: '2'.repeat(32), offsetBytes: 32, storedBytes: 144, codec: 'none' },
  allocatedBytes: 65536,
  parent: { image: 'base', imageId: '3'.repeat(32), number: 2, commitId: '4'.repeat(32) },
  timeMs: 1_700_000_000_000,
  label: 'after the update',
  commitId: '5'.repeat(32),
  writerId: '6'.repeat(32),
};
const KEY = 'images/vm/snapshots/00000003.json';

function json(change: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify({ ...RECORD, ...change }));
}

const locks: fc.Arbitrary<WriterLock> = fc.record({
  formatVersion: fc.constant(1 as const),
  imageId: randomIds,
  stateId: randomIds,
  host: fc.string({ maxLength: 50 }),
  pid: fc.nat(),
  timeMs: fc.nat(),
  base: fc.option(fc.record({ number: numbers, commitId: randomIds })),
});

describe('a snapshot record', () => {
  test('comes back from its bytes as it was', () => {
    fc.assert(
      fc.property(snapshotRecords, (record) => {
        expect(decodeSnapshotRecord(encodeSnapshotRecord(record, KEY), KEY)).toEqual(record);
      }),
    );
  });

  test('that was changed is still a valid record, or damaged or unsupported', () => {
    fc.assert(
      fc.property(mutations(encodeSnapshotRecord(RECORD, KEY)), (bytes) => {
        try {
          encodeSnapshotRecord(decodeSnapshotRecord(bytes, KEY), KEY);
        } catch (error) {
          expect(hasCode(error, 'DAMAGED', 'UNSUPPORTED')).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('with any one bit changed is damaged, of another version, or says the same as before', () => {
    const bytes = encodeSnapshotRecord(RECORD, KEY);
    let found = 0;
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes);
      changed[Math.floor(bit / 8)]! ^= 1 << (bit % 8);
      try {
        expect(decodeSnapshotRecord(changed, KEY)).toMatchObject(RECORD);
      } catch (error) {
        if (!hasCode(error, 'DAMAGED', 'UNSUPPORTED')) throw error;
        found += 1;
      }
    }
    // All but those in the name of the checksum's own field.
    expect(found).toBeGreaterThan((bytes.length - 10) * 8);
  });

  test('without a checksum is taken as it is', () => {
    expect(decodeSnapshotRecord(json({ sizeBytes: 1_000_001 }), KEY)).toEqual({ ...RECORD, sizeBytes: 1_000_001 });
  });

  test('whose checksum stands anywhere but at the end is damaged', () => {
    const { checksum, ...rest } = JSON.parse(encodeSnapshotRecord(RECORD, KEY).toString()) as Record<string, unknown>;
    expect(() => decodeSnapshotRecord(Buffer.from(JSON.stringify({ checksum, ...rest })), KEY)).toThrow(/checksum/);
  });

  test('of anything but JSON objects is damaged', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        expect(() => decodeSnapshotRecord(Buffer.from(text), KEY)).toThrow(
          expect.objectContaining({ code: 'DAMAGED' }),
        );
      }),
    );
  });

  test('keeps fields that this version does not know', () => {
    const decoded = decodeSnapshotRecord(json({ groupId: 'x', root: { ...RECORD.root, more: 1 } }), KEY);
    expect(JSON.parse(encodeSnapshotRecord(decoded, KEY).toString())).toMatchObject({
      ...RECORD,
      groupId: 'x',
      root: { ...RECORD.root, more: 1 },
    });
  });

  test('that requires an unknown feature is unsupported, and the message names feature and object', () => {
    expect(() => decodeSnapshotRecord(json({ requires: ['later'], root: { odd: true } }), KEY)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', message: expect.stringMatching(/images\/vm.*"later"/) }),
    );
  });

  test('of a newer version is unsupported whatever else it says', () => {
    expect(() => decodeSnapshotRecord(Buffer.from('{"formatVersion":2}'), KEY)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED' }),
    );
  });

  test.each([
    ['a root outside of every segment', { root: { ...RECORD.root, offsetBytes: 2 ** 40 } }],
    ['a root whose segment is a path', { root: { ...RECORD.root, segment: '../../../etc/passwd' } }],
    ['no root but allocated bytes', { root: null }],
    ['a root but no allocated bytes', { allocatedBytes: 0 }],
    ['more allocated than it has', { allocatedBytes: 65536 * 17 }],
    ['half a chunk allocated', { allocatedBytes: 1000 }],
    ['an odd chunk size', { chunkSizeBytes: 100_000 }],
    ['a size that is too large', { sizeBytes: 2 ** 50 }],
    ['a negative size', { sizeBytes: -1 }],
    ['a parent with a bad name', { parent: { ...RECORD.parent, image: 'a/b' } }],
    ['a number of zero', { number: 0 }],
    ['an upper-case id', { imageId: 'A'.repeat(32) }],
    ['no commit id', { commitId: undefined }],
  ])('with %s is damaged, and the message names the object', (_, change) => {
    expect(() => decodeSnapshotRecord(json(change), KEY)).toThrow(
      expect.objectContaining({ code: 'DAMAGED', message: expect.stringContaining(KEY) }),
    );
  });

  test('of more than a megabyte is damaged', () => {
    expect(() => decodeSnapshotRecord(json({ more: 'x'.repeat(2 ** 20) }), KEY)).toThrow(/bytes, at most/);
  });

  test('with a label that is too long is not written', () => {
    expect(() => encodeSnapshotRecord({ ...RECORD, label: 'x'.repeat(1025) }, KEY)).toThrow(
      expect.objectContaining({ code: 'USAGE' }),
    );
  });
});

describe('the other documents', () => {
  test('a lock comes back from its bytes as it was', () => {
    fc.assert(
      fc.property(locks, (lock) => {
        expect(decodeWriterLock(encodeWriterLock(lock, 'writer'), 'writer')).toEqual(lock);
      }),
    );
  });

  test('a tombstone keeps the whole record, unknown fields included', () => {
    const record = decodeSnapshotRecord(json({ groupId: 'x' }), KEY);
    const tombstone = { formatVersion: 1 as const, number: 3, timeMs: 5, record };
    expect(decodeTombstone(encodeTombstone(tombstone, 'tombstone'), 'tombstone')).toEqual(tombstone);
  });

  test('a tombstone of a record with unknown requirements is unsupported', () => {
    const bytes = Buffer.from(
      JSON.stringify({ formatVersion: 1, number: 3, timeMs: 5, record: { ...RECORD, requires: ['later'] } }),
    );
    expect(() => decodeTombstone(bytes, 'tombstone')).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
  });

  test('a tombstone of a damaged record keeps its bytes', () => {
    const tombstone = { formatVersion: 1 as const, number: 3, timeMs: 5, record: null, unreadable: 'AAEC' };
    expect(decodeTombstone(encodeTombstone(tombstone, 'tombstone'), 'tombstone')).toEqual(tombstone);
  });

  test('a tag comes back from its bytes as it was, and under another name it is damaged', () => {
    fc.assert(
      fc.property(numbers, randomIds, fc.nat(), (number, commitId, timeMs) => {
        const tag = { formatVersion: 1 as const, tag: 'stable', number, commitId, timeMs };
        const bytes = encodeTag(tag, 'images/vm/tags/stable.json');
        expect(decodeTag(bytes, 'images/vm/tags/stable.json', 'stable')).toEqual(tag);
        expect(() => decodeTag(bytes, 'images/vm/tags/other.json', 'other')).toThrow(
          expect.objectContaining({ code: 'DAMAGED', message: expect.stringContaining('images/vm/tags/other.json') }),
        );
      }),
      { numRuns: 20 },
    );
  });

  test('a tag that was changed is damaged, unsupported, or the same tag', () => {
    const tag = { formatVersion: 1 as const, tag: 'stable', number: 3, commitId: '5'.repeat(32), timeMs: 5 };
    fc.assert(
      fc.property(mutations(encodeTag(tag, 'tag')), (bytes) => {
        try {
          expect(decodeTag(bytes, 'tag', 'stable').tag).toBe('stable');
        } catch (error) {
          expect(hasCode(error, 'DAMAGED', 'UNSUPPORTED')).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('a marker comes back from its bytes as it was, and one with unknown requirements is unsupported', () => {
    fc.assert(
      fc.property(randomIds, chunkSizes, (repositoryId, defaultChunkSizeBytes) => {
        const marker = {
          formatVersion: 1 as const,
          repositoryId,
          requires: [],
          allows: ['later'],
          defaultChunkSizeBytes,
        };
        expect(decodeMarker(encodeMarker(marker))).toEqual(marker);
        const newer = encodeMarker({ ...marker, requires: ['later'] });
        expect(() => decodeMarker(newer)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }));
      }),
      { numRuns: 20 },
    );
  });
});
