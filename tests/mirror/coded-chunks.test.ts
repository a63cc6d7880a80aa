/** Chunks that are stored with a codec: what travels is coded, what is here never is. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Mirror } from '../../lib/mirror/api.js';
import type { OpenSlotFile } from '../../lib/mirror/slot-file.js';
import { pseudoRandom } from '../util/zstd/payloads.js';
import { bytesOf, CHUNK, holds, readChunk, TestPlace, wanted } from './fake-source.js';

let place: TestPlace;
beforeEach(async () => {
  place = await TestPlace.make();
});
afterEach(async () => {
  await place.remove();
});

async function fetchAll(mirror: Mirror, references: Awaited<ReturnType<typeof place.source.addCodedSegment>>) {
  const map = mirror.createMap(CHUNK, references.length);
  (await mirror.ensure(map, wanted(references), 'demand')).release();
  return map;
}

describe('chunks that are stored with zstd', () => {
  test('travel coded, together with neighbours that are not, and are kept as they are', async () => {
    const noise = pseudoRandom(CHUNK);
    const references = await place.source.addCodedSegment('s', [bytesOf(1), noise, bytesOf(3)]);
    expect(references.map(({ codec }) => codec)).toEqual(['zstd', 'none', 'zstd']);
    const mirror = await place.open();
    const map = await fetchAll(mirror, references);
    expect(holds(readChunk(mirror, map, 0), 1)).toBe(true);
    expect(readChunk(mirror, map, 1)?.equals(noise)).toBe(true);
    expect(holds(readChunk(mirror, map, 2), 3)).toBe(true);
    const storedBytes = references.reduce((sum, reference) => sum + reference.storedBytes, 0);
    expect(storedBytes).toBeLessThan(3 * CHUNK);
    expect(place.source.requests).toEqual([{ segment: 's', offsetBytes: 0, lengthBytes: storedBytes }]);
    expect(mirror.statistics()).toMatchObject({ fetchedBytes: storedBytes, localBytes: 3 * CHUNK });
  });

  test('and arrive damaged are fetched once more', async () => {
    const references = await place.source.addCodedSegment('s', [bytesOf(1), bytesOf(2)]);
    const mirror = await place.open();
    place.source.fault = (_, bytes) => {
      place.source.fault = undefined;
      bytes[references[0]!.storedBytes + 20]! ^= 0xff;
      return bytes;
    };
    const map = await fetchAll(mirror, references);
    expect(holds(readChunk(mirror, map, 1), 2)).toBe(true);
    expect(place.source.requests).toHaveLength(2);
    expect(mirror.statistics().damagedChunks).toBe(0);
  });

  test('and hold more than a chunk are DAMAGED', async () => {
    const [long] = await place.source.addCodedSegment('s', [bytesOf(1, 2 * CHUNK)]);
    const mirror = await place.open();
    await expect(fetchAll(mirror, [long!])).rejects.toMatchObject({ code: 'DAMAGED' });
    expect(mirror.statistics()).toMatchObject({ damagedChunks: 1, localBytes: 0 });
  });

  test('and can not be kept stay as they are while they are held, though memory is used again', async () => {
    const count = 60;
    const references = await place.source.addCodedSegment(
      's',
      Array.from({ length: count }, (_, n) => bytesOf(n + 1)),
    );
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, count);
    const file = mirror.slotFile(CHUNK) as OpenSlotFile;
    const write = file.write.bind(file);
    file.write = (slot, bytes) => (slot % 3 === 0 ? Promise.reject(new Error('EIO')) : write(slot, bytes));
    const early = await mirror.ensure(map, wanted(references.slice(0, 20)), 'demand');
    const late = await mirror.ensure(map, wanted(references.slice(20), 20), 'demand');
    let transient = 0;
    for (let n = 0; n < count; n++) {
      const lease = n < 20 ? early : late;
      expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
      if (lease.transient(n) !== undefined) transient++;
    }
    expect(transient).toBe(count / 3);
    early.release();
    late.release();
  });
});
