import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32, sha256 } from '../../lib/format/checksums.js';
import {
  decodeSegmentFooter,
  decodeSegmentHeader,
  decodeSegmentIndex,
  encodeSegmentHeader,
  encodeSegmentTail,
  SEGMENT_FOOTER_BYTES,
} from '../../lib/format/segment.js';
import { hasCode } from '../../lib/util/errors.js';
import { mutations, randomIds, segmentIndexes } from './examples.js';

const SEGMENT = '0123456789abcdef0123456789abcdef';

describe('a segment', () => {
  test('tells its index by its last bytes alone', () => {
    fc.assert(
      fc.property(segmentIndexes, ({ kind, segment, entries }) => {
        const tail = encodeSegmentTail(kind, segment, entries);
        const payloadBytes = entries.reduce((sum, entry) => sum + entry.storedBytes, 0);
        const objectBytes = 32 + payloadBytes + tail.length;
        const footer = decodeSegmentFooter(tail.subarray(-SEGMENT_FOOTER_BYTES), objectBytes, 'segment');
        expect(footer).toMatchObject({
          kind,
          segment,
          indexOffsetBytes: 32 + payloadBytes,
          entryCount: entries.length,
        });
        const index = decodeSegmentIndex(tail, objectBytes, 'segment');
        expect(index).toEqual({ kind, segment, entries, headerCrc: crc32(encodeSegmentHeader(kind, segment)) });
      }),
      { numRuns: 100 },
    );
  });

  test('with a changed index or footer is damaged or unsupported, never something else', () => {
    fc.assert(
      fc.property(
        segmentIndexes.chain(({ kind, segment, entries }) => {
          const tail = encodeSegmentTail(kind, segment, entries);
          const payloadBytes = entries.reduce((sum, entry) => sum + entry.storedBytes, 0);
          return mutations(tail).map((bytes) => ({ tail, bytes, objectBytes: 32 + payloadBytes + bytes.length }));
        }),
        ({ tail, bytes, objectBytes }) => {
          if (bytes.equals(tail)) return;
          try {
            decodeSegmentIndex(bytes, objectBytes, 'segment');
          } catch (error) {
            expect(hasCode(error, 'DAMAGED', 'UNSUPPORTED')).toBe(true);
            return;
          }
          throw new Error('changed bytes were accepted');
        },
      ),
      { numRuns: 500 },
    );
  });

  test('says in its header what it is', () => {
    fc.assert(
      fc.property(fc.constantFrom('chunks' as const, 'nodes' as const), randomIds, (kind, segment) => {
        expect(decodeSegmentHeader(encodeSegmentHeader(kind, segment), 'segment')).toEqual({ kind, segment });
      }),
    );
  });

  test('with a changed header is damaged or unsupported, or says something else', () => {
    fc.assert(
      fc.property(mutations(encodeSegmentHeader('chunks', SEGMENT)), (bytes) => {
        try {
          const { kind, segment } = decodeSegmentHeader(bytes, 'segment');
          expect(encodeSegmentHeader(kind, segment).equals(bytes.subarray(0, 32))).toBe(true);
        } catch (error) {
          expect(hasCode(error, 'DAMAGED', 'UNSUPPORTED')).toBe(true);
        }
      }),
    );
  });

  test('has no gaps: entries that do not follow one another are refused', () => {
    const entry = { id: sha256(Buffer.from('x')), storedBytes: 65536, detail: 65536, codec: 'none' as const, crc: 1 };
    expect(() => encodeSegmentTail('chunks', SEGMENT, [{ ...entry, offsetBytes: 33 }])).toThrow(/not at 32/);
  });

  test('whose index is not wholly at hand is not read', () => {
    const entry = { id: sha256(Buffer.from('x')), offsetBytes: 32, storedBytes: 65536, detail: 65536, crc: 1 };
    const tail = encodeSegmentTail('chunks', SEGMENT, [{ ...entry, codec: 'none' }]);
    expect(() => decodeSegmentIndex(tail.subarray(1), 32 + 65536 + tail.length, 'segment')).toThrow(
      /92 bytes of its end/,
    );
  });
});
