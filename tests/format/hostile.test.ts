/**
 * What comes from a repository is hostile: the decoders against mutated real files. Whatever the bytes are, a decoder ends
 * with a value that it would also write, or with DAMAGED or UNSUPPORTED, and takes no more memory than the bytes account for.
 */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { crc32 } from '../../lib/format/checksums.js';
import { decodePayload } from '../../lib/format/codec.js';
import { decodeCondemnedList, encodeCondemnedList, MIN_GRACE_MS } from '../../lib/format/condemned-list.js';
import { MAX_CHUNK_SIZE, MIN_CHUNK_SIZE } from '../../lib/format/geometry.js';
import { parseKey } from '../../lib/format/keys.js';
import { decodeMarker, encodeMarker } from '../../lib/format/marker.js';
import { decodeBootProfile, encodeBootProfile } from '../../lib/format/profile.js';
import { decodeSegmentFooter, decodeSegmentHeader, decodeSegmentIndex } from '../../lib/format/segment.js';
import { decodeSnapshotRecord, encodeSnapshotRecord } from '../../lib/format/snapshot-record.js';
import { decodeTag, encodeTag } from '../../lib/format/tag.js';
import { decodeTombstone, encodeTombstone } from '../../lib/format/tombstone.js';
import { decodeTreeNode, encodeTreeNode, MAX_NODE_BYTES } from '../../lib/format/tree-node.js';
import { decodeWriterLock, encodeWriterLock } from '../../lib/format/writer-lock.js';
import { hasCode } from '../../lib/util/errors.js';
import { compress } from '../../lib/util/zstd/zstd.js';
import { mutations } from './examples.js';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');
const MIB = 1024 * 1024;
const NAME = 'the object';

/** Every file of the frozen repositories. */
const files = ['repository-v1', 'repository-v1-zstd'].flatMap((repository) =>
  readdirSync(join(FIXTURES, repository, 'repository'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name)),
);
const filesOf = (part: string): Buffer[] =>
  files.filter((file) => file.includes(part)).map((file) => readFileSync(file));

const segments = filesOf('/segments/');
const id = '0123456789abcdef'.repeat(2);

/** What decodes a kind of document, what it writes of that, and real ones. */
const documents: Record<string, { decode: (bytes: Uint8Array) => Buffer; real: Buffer[] }> = {
  marker: { decode: (bytes) => encodeMarker(decodeMarker(bytes)), real: filesOf('lazydisk.json') },
  record: {
    decode: (bytes) => encodeSnapshotRecord(decodeSnapshotRecord(bytes, NAME), NAME),
    real: filesOf('/snapshots/'),
  },
  tombstone: { decode: (bytes) => encodeTombstone(decodeTombstone(bytes, NAME), NAME), real: filesOf('/deleted/') },
  lock: {
    decode: (bytes) => encodeWriterLock(decodeWriterLock(bytes, NAME), NAME),
    real: [
      encodeWriterLock(
        { formatVersion: 1, imageId: id, stateId: id, host: 'h', pid: 1, timeMs: 1, base: { number: 1, commitId: id } },
        NAME,
      ),
    ],
  },
  tag: {
    decode: (bytes) => encodeTag(decodeTag(bytes, NAME, 'stable'), NAME),
    real: [encodeTag({ formatVersion: 1, tag: 'stable', number: 3, commitId: id, timeMs: 1 }, NAME)],
  },
  profile: {
    decode: (bytes) => encodeBootProfile(decodeBootProfile(bytes, NAME), NAME),
    real: [
      encodeBootProfile(
        {
          formatVersion: 1,
          imageId: id,
          timeMs: 1,
          boots: 2,
          ranges: [{ offsetBytes: 0, lengthBytes: MIN_CHUNK_SIZE, unusedBoots: 1 }],
        },
        NAME,
      ),
    ],
  },
  'condemned list': {
    decode: (bytes) => encodeCondemnedList(decodeCondemnedList(bytes, NAME), NAME),
    real: [encodeCondemnedList({ formatVersion: 1, requires: [], graceMs: MIN_GRACE_MS, segments: [id] }, NAME)],
  },
};

/** undefined when it was refused as it should be; anything else that is thrown is a failure. */
function accepted<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (hasCode(error, 'DAMAGED', 'UNSUPPORTED')) return undefined;
    throw error;
  }
}

/** Values that a field may have been given by somebody who means harm. */
const evil = fc.oneof(
  fc.constantFrom<unknown>(null, true, 0, -1, 1.5, 2 ** 53, 1e308, '', '../../etc/passwd', 'a/b', '__proto__', [], {}),
  fc.jsonValue({ maxDepth: 3 }),
);

/** A document in which some fields, at any depth, have another value, and the checksum is right or left away. */
function corrupted(document: Buffer): fc.Arbitrary<Buffer> {
  return fc.array(fc.tuple(fc.nat(), evil), { minLength: 1, maxLength: 3 }).map((changes) => {
    const value = JSON.parse(document.toString()) as Record<string, unknown>;
    delete value['checksum'];
    for (const [position, replacement] of changes) replace(value, position, replacement);
    return Buffer.from(JSON.stringify(value));
  });
}

function replace(value: Record<string, unknown>, position: number, replacement: unknown): void {
  const names = Object.keys(value);
  if (names.length === 0) return;
  const name = names[position % names.length]!;
  const inner = value[name];
  const rest = Math.floor(position / names.length);
  if (typeof inner === 'object' && inner !== null && rest % 2 === 1) {
    replace(inner as Record<string, unknown>, Math.floor(rest / 2), replacement);
  } else {
    value[name] = replacement;
  }
}

describe.each(Object.entries(documents))('a %s', (_, { decode, real }) => {
  test('is read as it was written, or refused, whatever was done to it', () => {
    expect(real.length).toBeGreaterThan(0);
    const bytes = fc.oneof(
      ...real.map(mutations),
      ...real.map(corrupted),
      fc.uint8Array({ maxLength: 300 }).map((some) => Buffer.from(some)),
    );
    fc.assert(
      fc.property(bytes, (one) => {
        const written = accepted(() => decode(one));
        // What is accepted is a valid document, and stays the same.
        if (written !== undefined) expect(decode(written)).toEqual(written);
      }),
      { numRuns: 400 },
    );
  });

  test.each([
    ['arrays in one another', '['.repeat(400_000)],
    ['closed ones', `{"x": ${'['.repeat(200_000)}${']'.repeat(200_000)}, "formatVersion": 1}`],
    ['objects in one another', `${'{"x":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
    ['a hundred thousand fields', `{${Array.from({ length: 100_000 }, (__, n) => `"${n}":1`).join(',')}}`],
    ['commas and blanks', `{"x":1${', '.repeat(300_000)}}`],
    ['a lone surrogate', '{"formatVersion": 1, "label": "\\ud800"}'],
    ['a name of the language', '{"__proto__": {"formatVersion": 1}, "constructor": 1}'],
    ['more than a document has', ' '.repeat(MIB + 1)],
  ])('of %s is refused', (__, text) => {
    expect(accepted(() => decode(Buffer.from(text)))).toBeUndefined();
  });

  test('with what a newer version adds to it is read, unless that is too deep to be written again', () => {
    const [document] = real;
    const value = JSON.parse(document!.toString()) as Record<string, unknown>;
    delete value['checksum'];
    const deep = (depth: number): Buffer =>
      Buffer.from(JSON.stringify(value).replace(/\}$/, `,"new":${'['.repeat(depth)}${']'.repeat(depth)}}`));
    expect(accepted(() => decode(deep(10)))?.toString()).toContain('"new"');
    expect(accepted(() => decode(deep(100_000)))).toBeUndefined();
  });
});

describe('a tree node', () => {
  const nodes = segments.flatMap((bytes) => {
    const index = decodeSegmentIndex(bytes, bytes.length, NAME);
    if (index.kind !== 'nodes') return [];
    return index.entries
      .filter(({ codec }) => codec === 'none')
      .map(({ offsetBytes, storedBytes }) => bytes.subarray(offsetBytes, offsetBytes + storedBytes));
  });

  test('is read as the bytes that it came from, or refused', () => {
    expect(nodes.length).toBeGreaterThan(1);
    const bytes = fc.oneof(
      ...nodes.map(mutations),
      fc.uint8Array({ maxLength: 300 }).map((some) => Buffer.from(some)),
    );
    fc.assert(
      fc.property(bytes, (one) => {
        const node = accepted(() => decodeTreeNode(one, NAME));
        // One value has one encoding: nothing that is accepted has bytes to spare.
        if (node !== undefined) expect(encodeTreeNode(node).equals(one)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a segment', () => {
  /** With checksums that are right again, so that what they cover is looked at. */
  function sealed(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes);
    if (copy.length < 72) return copy;
    const footer = copy.length - 40;
    const indexAt = copy.readUInt32LE(footer);
    if (indexAt > footer) return copy;
    copy.writeUInt32LE(crc32(copy.subarray(indexAt, footer + 32)), footer + 32);
    return copy;
  }

  test('has an index that fits into it, or is refused', () => {
    const small = segments.filter((bytes) => bytes.length < 100_000);
    expect(small.length).toBeGreaterThan(1);
    const ends = small.map((bytes) =>
      mutations(bytes.subarray(-400)).map((end) => Buffer.concat([bytes.subarray(0, -400), end])),
    );
    const bytes = fc.tuple(fc.oneof(...small.map(mutations), ...ends), fc.boolean());
    fc.assert(
      fc.property(bytes, ([changed, isSealed]) => {
        const one = isSealed ? sealed(changed) : changed;
        accepted(() => decodeSegmentHeader(one, NAME));
        accepted(() => decodeSegmentFooter(one, one.length, NAME));
        const index = accepted(() => decodeSegmentIndex(one, one.length, NAME));
        for (const { offsetBytes, storedBytes } of index?.entries ?? []) {
          expect(offsetBytes).toBeGreaterThanOrEqual(32);
          expect(offsetBytes + storedBytes).toBeLessThanOrEqual(one.length - 40);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a stored payload', () => {
  test('gives what was expected of it, or is refused', async () => {
    const payload = Buffer.alloc(MIN_CHUNK_SIZE, 'a chunk that shrinks ');
    const stored = Buffer.from(await compress(payload, 1));
    await fc.assert(
      fc.asyncProperty(mutations(stored), fc.constantFrom(MIN_CHUNK_SIZE, MAX_CHUNK_SIZE, 100), async (bytes, size) => {
        const came = await decodePayload('zstd', bytes, size).catch((error: unknown) => {
          if (hasCode(error, 'DAMAGED')) return undefined;
          throw error;
        });
        if (came !== undefined) expect(came.length).toBe(size);
      }),
      { numRuns: 300 },
    );
  });

  test('that says to hold terabytes is refused before anything is allocated', async () => {
    // A frame header with a content size of eight bytes: 2^40.
    const bomb = Buffer.from('28b52ffde0' + '0000000000010000' + '010000', 'hex');
    const before = process.memoryUsage().arrayBuffers;
    await expect(decodePayload('zstd', bomb, MAX_CHUNK_SIZE)).rejects.toMatchObject({ code: 'DAMAGED' });
    await expect(decodePayload('zstd', bomb, { atMost: MAX_NODE_BYTES })).rejects.toMatchObject({ code: 'DAMAGED' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MIB);
  });
});

describe('a key', () => {
  test('names nothing outside of what a mount may show', () => {
    const parts = fc.constantFrom(
      'images',
      'segments',
      '..',
      '.',
      '',
      'a',
      'control',
      'snapshots',
      '00000001.json',
      '\0',
      'é',
    );
    const keys = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(parts, { maxLength: 6 }).map((some) => some.join('/')),
      fc.constantFrom(...files.map((file) => basename(file))).map((name) => `images/../${name}`),
    );
    fc.assert(
      fc.property(keys, (key) => {
        const parsed = parseKey(key);
        if (parsed === undefined || !('image' in parsed)) return;
        expect(parsed.image).toMatch(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);
        expect(['control', 'status', 'metrics']).not.toContain(parsed.image);
      }),
      { numRuns: 500 },
    );
  });
});
