/** Random values of the format for property tests. */
import fc from 'fast-check';
import { MAX_IMAGE_BYTES, MAX_CHUNK_SIZE } from '../../lib/format/geometry.js';
import { MAX_SEGMENT_BYTES } from '../../lib/format/ids.js';
import type { Codec, NodeReference, TreeNode } from '../../lib/format/references.js';
import type { SegmentEntry, SegmentIndex } from '../../lib/format/segment.js';
import type { SnapshotRecord } from '../../lib/format/snapshot-record.js';

const hex = (digits: number) =>
  fc.uint8Array({ minLength: digits / 2, maxLength: digits / 2 }).map((bytes) => Buffer.from(bytes).toString('hex'));

export const randomIds = hex(32);
export const hashes = hex(64);
export const imageNames = fc
  .stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/)
  .filter((name) => !['control', 'status', 'metrics'].includes(name));
export const numbers = fc.integer({ min: 1, max: 99_999_999 });
export const chunkSizes = fc.integer({ min: 16, max: 22 }).map((power) => 2 ** power);

export const codecs = fc.constantFrom<Codec>('none', 'zstd');

export const nodeReferences: fc.Arbitrary<NodeReference> = fc.record({
  id: hashes,
  segment: randomIds,
  offsetBytes: fc.integer({ min: 0, max: MAX_SEGMENT_BYTES - MAX_CHUNK_SIZE }),
  storedBytes: fc.integer({ min: 1, max: MAX_CHUNK_SIZE }),
  codec: codecs,
});

export const treeNodes: fc.Arbitrary<TreeNode> = fc
  .tuple(
    fc.integer({ min: 0, max: 3 }),
    fc.array(randomIds, { minLength: 1, maxLength: 5 }),
    fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.nat(4), nodeReferences), { minLength: 1, maxLength: 300 }),
  )
  .map(([level, segments, placed]) => {
    const entries = new Array<NodeReference | null>(256).fill(null);
    for (const [index, segment, reference] of placed) {
      entries[index] = { ...reference, segment: segments[segment % segments.length]! };
    }
    return { level, entries };
  });

export const segmentIndexes: fc.Arbitrary<Omit<SegmentIndex, 'headerCrc'>> = fc
  .tuple(
    fc.constantFrom('chunks' as const, 'nodes' as const),
    randomIds,
    fc.array(
      fc.tuple(
        hashes,
        codecs,
        fc.integer({ min: 102, max: 20_000 }),
        fc.integer({ min: 0, max: 3 }),
        fc.nat(2 ** 32 - 1),
      ),
      {
        maxLength: 40,
      },
    ),
    chunkSizes,
  )
  .map(([kind, segment, drafts, chunkSizeBytes]) => {
    let offsetBytes = 32;
    const entries: SegmentEntry[] = [];
    for (const [id, codec, draftBytes, level, crc] of drafts) {
      const storedBytes = kind === 'chunks' && codec === 'none' ? chunkSizeBytes : draftBytes;
      if (offsetBytes + storedBytes > MAX_SEGMENT_BYTES / 2) break;
      const detail = kind === 'chunks' ? chunkSizeBytes : level;
      entries.push({ id, offsetBytes, storedBytes, detail, codec, crc });
      offsetBytes += storedBytes;
    }
    return { kind, segment, entries };
  });

const parents = fc.record({ image: imageNames, imageId: randomIds, number: numbers, commitId: randomIds });

export const snapshotRecords: fc.Arbitrary<SnapshotRecord> = fc
  .record({
    imageId: randomIds,
    number: numbers,
    sizeBytes: fc.integer({ min: 0, max: MAX_IMAGE_BYTES }),
    chunkSizeBytes: chunkSizes,
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    root: nodeReferences,
    parent: fc.option(parents),
    timeMs: fc.nat(),
    label: fc.string({ maxLength: 100, unit: 'grapheme' }),
    commitId: randomIds,
    writerId: randomIds,
  })
  .map(({ share, root, ...rest }) => {
    const chunks = Math.floor(share * Math.floor(rest.sizeBytes / rest.chunkSizeBytes));
    return {
      formatVersion: 1 as const,
      requires: root.codec === 'zstd' ? ['zstd'] : [],
      ...rest,
      allocatedBytes: chunks * rest.chunkSizeBytes,
      root: chunks === 0 ? null : root,
    };
  });

/** Some bytes of `bytes` changed, cut off or added. */
export function mutations(bytes: Buffer): fc.Arbitrary<Buffer> {
  const changes = fc
    .array(fc.tuple(fc.nat(Math.max(0, bytes.length - 1)), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    })
    .map((flips) => {
      const copy = Buffer.from(bytes);
      for (const [at, mask] of flips) if (copy.length > 0) copy[at]! ^= mask;
      return copy;
    });
  const cuts = fc.nat(bytes.length).map((length) => bytes.subarray(0, length));
  const additions = fc.uint8Array({ minLength: 1, maxLength: 60 }).map((more) => Buffer.concat([bytes, more]));
  return fc.oneof({ weight: 4, arbitrary: changes }, cuts, additions);
}
