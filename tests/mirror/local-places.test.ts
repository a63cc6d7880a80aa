import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChunkReference } from '../../lib/format/references.js';
import { decodePlace, encodePlace, LocalPlaces } from '../../lib/mirror/known-places.js';
import { LocalDatabase } from '../../lib/mirror/local-database.js';
import { LocalNodes } from '../../lib/mirror/local-nodes.js';
import { TestLog } from './fake-source.js';

const hex = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes).toString('hex'));
const references: fc.Arbitrary<ChunkReference> = fc.record({
  id: hex(32),
  segment: hex(16),
  offsetBytes: fc.maxSafeNat(),
  storedBytes: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  codec: fc.constantFrom('none' as const, 'zstd' as const),
});

let directory: string;
let database: LocalDatabase;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lazydisk-places-'));
  database = await LocalDatabase.open(directory);
});
afterEach(async () => {
  await database.close();
  await rm(directory, { recursive: true, force: true });
});

describe('known places', () => {
  test('a place is what was encoded', () => {
    fc.assert(
      fc.property(references, (reference) => {
        expect(decodePlace(reference.id, encodePlace(reference))).toEqual(reference);
      }),
    );
  });

  test('a place with one changed bit, or of another chunk, is unknown', () => {
    fc.assert(
      fc.property(references, fc.nat(34 * 8 - 1), hex(32), (reference, bit, other) => {
        const value = encodePlace(reference);
        expect(decodePlace(other, value)).toBeUndefined();
        value[bit >> 3]! ^= 1 << (bit & 7);
        expect(decodePlace(reference.id, value)).toBeUndefined();
      }),
    );
  });

  test('what was recorded is found, the rest is unknown, a bad value is ignored', async () => {
    const places = new LocalPlaces(database);
    const [one, two] = fc.sample(references, { numRuns: 2, seed: 1 }) as [ChunkReference, ChunkReference];
    await places.record([one, two]);
    expect(await places.lookup([two.id, 'ab', one.id])).toEqual([two, undefined, one]);
    await database.put(`place/${one.id}`, Buffer.from('bad'));
    expect(await places.lookup([one.id])).toEqual([undefined]);
    const future = encodePlace(two);
    future[0] = 9;
    await database.put(`place/${two.id}`, future);
    expect(await places.lookup([two.id])).toEqual([undefined]);
  });

  test('a database that can not be written is a warning, not an error', async () => {
    const log = new TestLog();
    await database.close();
    await new LocalPlaces(database, log).record(fc.sample(references, 1));
    await new LocalNodes(database, log).put('ab', Buffer.from('x'));
    expect(log.lines).toHaveLength(2);
  });
});

describe('local nodes', () => {
  test('a node comes back as it was put', async () => {
    const nodes = new LocalNodes(database);
    await nodes.put('ab', Buffer.from([1, 2, 3]));
    expect(await nodes.get('ab')).toEqual(Buffer.from([1, 2, 3]));
    expect(await nodes.get('cd')).toBeUndefined();
  });
});
