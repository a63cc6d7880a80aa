import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { openSync, closeSync, readdirSync, statSync, truncateSync, writeFileSync, writeSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../../lib/format/checksums.js';
import { FIRST_SLOT, SLOT_UNKNOWN, SLOT_ZERO, type Mirror } from '../../lib/mirror/api.js';
import type { OpenSlotFile } from '../../lib/mirror/slot-file.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { CHUNK, TestPlace, bytesOf, holds, readChunk, wanted } from './fake-source.js';

let place: TestPlace;
beforeEach(async () => {
  place = await TestPlace.make();
});
afterEach(async () => {
  await place.remove();
});

/** A promise and its handles. */
function deferred<T = void>() {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

/** The neighbours of a chunk that failed may still be on their way. */
async function untilNothingTravels(mirror: Mirror): Promise<void> {
  while (mirror.statistics().waitingFetches > 0) await new Promise((resolve) => setImmediate(resolve));
}

describe('fetching', () => {
  test('ensure makes chunks local, verified and published, and the bytes are right', async () => {
    const chunks = place.source.addSegment('s', 1, 5);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 10);
    const lease = await mirror.ensure(map, wanted(chunks, 2), 'demand');
    for (let n = 0; n < 5; n++) expect(holds(readChunk(mirror, map, n + 2, lease), n + 1)).toBe(true);
    expect(map.words[0]).toBe(SLOT_UNKNOWN);
    lease.release();
    expect(mirror.statistics()).toMatchObject({
      localBytes: 5 * CHUNK,
      fetchedBytes: 5 * CHUNK,
      fetchedChunks: 5,
      waitingFetches: 0,
    });
  });

  test('neighbours in a segment travel in one ranged GET, a gap or another segment begins another', async () => {
    const a = place.source.addSegment('a', 1, 8);
    const b = place.source.addSegment('b', 20, 2);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 20);
    const some = [...a.slice(0, 3), ...a.slice(5, 8), ...b];
    (await mirror.ensure(map, wanted(some), 'demand')).release();
    expect(place.source.requests).toEqual([
      { segment: 'a', offsetBytes: 0, lengthBytes: 3 * CHUNK },
      { segment: 'a', offsetBytes: 5 * CHUNK, lengthBytes: 3 * CHUNK },
      { segment: 'b', offsetBytes: 0, lengthBytes: 2 * CHUNK },
    ]);
    // Neighbouring chunks stand in neighbouring slots.
    expect(map.words[1]! - map.words[0]!).toBe(1);
    expect(map.words[2]! - map.words[1]!).toBe(1);
  });

  test('a run is cut where the bytes in flight per request end', async () => {
    const chunks = place.source.addSegment('s', 1, 10);
    const mirror = await place.open({ maxRequests: 4, maxBytesInFlight: 16 * CHUNK });
    (await mirror.ensure(mirror.createMap(CHUNK, 10), wanted(chunks), 'demand')).release();
    expect(place.source.requests.map((request) => request.lengthBytes / CHUNK)).toEqual([4, 4, 2]);
  });

  test('one chunk is fetched once however many wait for it', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const mirror = await place.open();
    const maps = Array.from({ length: 50 }, () => mirror.createMap(CHUNK, 4));
    const leases = await Promise.all(
      maps.map(async (map, n) => mirror.ensure(map, wanted(chunks), n % 2 === 0 ? 'demand' : 'prefetch')),
    );
    expect(place.source.requests).toHaveLength(1);
    for (const map of maps) expect(holds(readChunk(mirror, map, 3), 4)).toBe(true);
    for (const lease of leases) lease.release();
    expect(mirror.statistics().localBytes).toBe(4 * CHUNK);
  });

  test('a chunk that stands at several places of an image is one slot, published at each', async () => {
    const [chunk] = place.source.addSegment('s', 1, 1);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 9);
    const lease = await mirror.ensure(
      map,
      [3, 5, 8].map((n) => ({ chunk: n, reference: chunk! })),
      'demand',
    );
    expect([...map.words].filter((word) => word >= FIRST_SLOT)).toHaveLength(3);
    expect(new Set([map.words[3], map.words[5], map.words[8]]).size).toBe(1);
    lease.release();
    expect(place.source.requests).toHaveLength(1);
  });

  test('what is local is answered without a request', async () => {
    const chunks = place.source.addSegment('s', 1, 200);
    const mirror = await place.open({ maxRequests: 40, maxBytesInFlight: 1 });
    const map = mirror.createMap(CHUNK, 200);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(place.source.requests).toHaveLength(200);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(place.source.requests).toHaveLength(200);
  });

  test('demand does not wait for background fetches, and takes along a chunk that is queued among them', async () => {
    const fill = place.source.addSegment('fill', 1, 20);
    const other = place.source.addSegment('other', 100, 1);
    const mirror = await place.open({ maxRequests: 4, maxBytesInFlight: 1 });
    const map = mirror.createMap(CHUNK, 40);
    const gate = deferred();
    let held = 0;
    place.source.fault = async (request, bytes) => {
      if (request.segment === 'fill' && request.offsetBytes < 3 * CHUNK) {
        held++;
        await gate.promise;
      }
      return bytes;
    };
    const background = mirror.ensure(map, wanted(fill), 'fill');
    (await mirror.ensure(map, wanted(other, 30), 'demand')).release();
    (await mirror.ensure(map, wanted(fill.slice(15, 16), 15), 'demand')).release();
    expect(held).toBe(3); // a quarter of four is for demand alone
    expect(place.source.requests.map((r) => r.offsetBytes / CHUNK)).toContain(15);
    gate.resolve();
    (await background).release();
    expect(place.source.requests).toHaveLength(21);
  });

  test('requests in flight are bounded', async () => {
    const chunks = place.source.addSegment('s', 1, 40);
    const mirror = await place.open({ maxRequests: 8, maxBytesInFlight: 16 * CHUNK });
    let running = 0;
    let most = 0;
    place.source.fault = async (request, bytes) => {
      expect(request.lengthBytes).toBeLessThanOrEqual(2 * CHUNK);
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return bytes;
    };
    const map = mirror.createMap(CHUNK, 40);
    const both = [
      mirror.ensure(map, wanted(chunks.slice(0, 20)), 'demand'),
      mirror.ensure(map, wanted(chunks.slice(20), 20), 'fill'),
    ];
    for (const lease of await Promise.all(both)) lease.release();
    expect(most).toBeLessThanOrEqual(8);
    expect(most).toBeGreaterThan(4);
  });

  test('an aborted caller leaves at once; the fetch goes on for the others', async () => {
    const chunks = place.source.addSegment('s', 1, 2);
    const mirror = await place.open();
    const [one, two] = [mirror.createMap(CHUNK, 2), mirror.createMap(CHUNK, 2)];
    const gate = deferred();
    place.source.fault = async (_, bytes) => (await gate.promise, bytes);
    const controller = new AbortController();
    const leaving = mirror.ensure(one, wanted(chunks), 'demand', controller.signal);
    const staying = mirror.ensure(two, wanted(chunks), 'demand');
    controller.abort();
    await expect(leaving).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(mirror.ensure(one, wanted(chunks), 'demand', controller.signal)).rejects.toMatchObject({
      code: 'ABORTED',
    });
    gate.resolve();
    const lease = await staying;
    expect(holds(readChunk(mirror, two, 1, lease), 2)).toBe(true);
    expect(one.words[0]).toBe(SLOT_UNKNOWN);
    lease.release();
    expect(place.source.requests).toHaveLength(1);
  });

  test('a queued chunk that nobody waits for any more is not fetched', async () => {
    const first = place.source.addSegment('first', 1, 1);
    const later = place.source.addSegment('later', 2, 1);
    const mirror = await place.open({ maxRequests: 2 });
    const map = mirror.createMap(CHUNK, 2);
    const gate = deferred();
    place.source.fault = async (_, bytes) => (await gate.promise, bytes);
    const running = mirror.ensure(map, wanted(first), 'demand');
    const controller = new AbortController();
    const queued = mirror.ensure(map, wanted(later, 1), 'demand', controller.signal);
    controller.abort();
    await expect(queued).rejects.toMatchObject({ code: 'ABORTED' });
    gate.resolve();
    (await running).release();
    (await mirror.ensure(map, wanted(later, 1), 'demand')).release();
    expect(place.source.requests.map((request) => request.segment)).toEqual(['first', 'later']);
  });
});

describe('faults of the source', () => {
  test('an error reaches every waiter, nothing bad is remembered, and the next call succeeds', async () => {
    const chunks = place.source.addSegment('s', 1, 3);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 3);
    place.source.fault = () => {
      throw new LazydiskError('UNREACHABLE', 'away');
    };
    const results = await Promise.allSettled([1, 2].map(async () => mirror.ensure(map, wanted(chunks), 'demand')));
    for (const result of results) expect(result).toMatchObject({ reason: { code: 'UNREACHABLE' } });
    place.source.fault = undefined;
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(holds(readChunk(mirror, map, 0), 1)).toBe(true);
    expect(mirror.statistics()).toMatchObject({ waitingFetches: 0, localBytes: 3 * CHUNK });
  });

  // S14
  test('a wrong checksum is fetched again once, alone; its neighbours are not', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 4);
    let faults = 1;
    place.source.fault = (_, bytes) => {
      if (faults-- > 0) bytes[2 * CHUNK + 17]! ^= 1;
      return bytes;
    };
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(place.source.requests).toEqual([
      { segment: 's', offsetBytes: 0, lengthBytes: 4 * CHUNK },
      { segment: 's', offsetBytes: 2 * CHUNK, lengthBytes: CHUNK },
    ]);
    for (let n = 0; n < 4; n++) expect(holds(readChunk(mirror, map, n), n + 1)).toBe(true);
    expect(mirror.statistics().damagedChunks).toBe(0);
  });

  test('a checksum that is wrong twice is DAMAGED, names the segment, and enters nowhere', async () => {
    const chunks = place.source.addSegment('seg-7', 1, 2);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 2);
    place.source.fault = (request, bytes) => {
      if (request.offsetBytes + request.lengthBytes > CHUNK) bytes[bytes.length - 1]! ^= 1;
      return bytes;
    };
    await expect(mirror.ensure(map, wanted(chunks), 'demand')).rejects.toMatchObject({
      code: 'DAMAGED',
      facts: { segment: 'seg-7', chunk: chunks[1]!.id },
    });
    expect(place.log.lines.some((line) => line.startsWith('error') && line.includes('seg-7'))).toBe(true);
    expect(place.source.requests).toHaveLength(2);
    expect(map.words[1]).toBe(SLOT_UNKNOWN);
    (await mirror.ensure(map, wanted(chunks.slice(0, 1)), 'demand')).release();
    expect(place.source.requests).toHaveLength(2); // the good neighbour was kept
    expect(mirror.statistics()).toMatchObject({ damagedChunks: 1, localBytes: CHUNK });
  });

  test.each([
    ['a short answer', (_: unknown, bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
    [
      'an object that ends early',
      () => {
        throw new LazydiskError('DAMAGED', 'short object');
      },
    ],
    [
      'a missing segment',
      () => {
        throw new LazydiskError('NOT_FOUND', 'no such key');
      },
    ],
  ])('%s is DAMAGED after one more try per chunk', async (_, fault) => {
    const chunks = place.source.addSegment('s', 1, 2);
    const mirror = await place.open();
    place.source.fault = fault;
    const map = mirror.createMap(CHUNK, 2);
    await expect(mirror.ensure(map, wanted(chunks), 'demand')).rejects.toMatchObject({ code: 'DAMAGED' });
    await untilNothingTravels(mirror);
    place.source.fault = undefined;
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(holds(readChunk(mirror, map, 1), 2)).toBe(true);
  });

  test('a missing bucket is passed on as it is', async () => {
    const chunks = place.source.addSegment('s', 1, 1);
    const mirror = await place.open();
    place.source.fault = () => {
      throw new LazydiskError('NOT_FOUND', 'no bucket', { facts: { bucket: 'b' } });
    };
    const promise = mirror.ensure(mirror.createMap(CHUNK, 1), wanted(chunks), 'demand');
    await expect(promise).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a reference with a length that is not that of a chunk is DAMAGED without a request', async () => {
    const chunks = place.source.addSegment('s', 1, 1).map((chunk) => ({ ...chunk, storedBytes: 2 ** 31 }));
    const mirror = await place.open();
    const promise = mirror.ensure(mirror.createMap(CHUNK, 1), wanted(chunks), 'demand');
    await expect(promise).rejects.toMatchObject({ code: 'DAMAGED' });
    expect(place.source.requests).toHaveLength(0);
  });

  test('close ends waiters of a stalled source, and can be called again', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const mirror = await place.open({ maxRequests: 2, maxBytesInFlight: 1 });
    place.source.fault = () => new Promise<Buffer>(() => undefined);
    const map = mirror.createMap(CHUNK, 4);
    const stalled = mirror.ensure(map, wanted(chunks), 'demand');
    const outcome = expect(stalled).rejects.toMatchObject({ code: 'ABORTED' });
    await mirror.close();
    await outcome;
    await mirror.close();
    await expect(mirror.ensure(map, wanted(chunks), 'demand')).rejects.toMatchObject({ code: 'ABORTED' });
  });
});

describe('maps', () => {
  test('publishLocal publishes what is local and nothing else', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const mirror = await place.open();
    (await mirror.ensure(mirror.createMap(CHUNK, 4), wanted(chunks.slice(0, 2)), 'demand')).release();
    const map = mirror.createMap(CHUNK, 4);
    mirror.markZero(map, [3]);
    await mirror.publishLocal(map, wanted(chunks.slice(0, 3)));
    expect([...map.words].map((word) => word >= FIRST_SLOT)).toEqual([true, true, false, false]);
    expect(map.words[2]).toBe(SLOT_UNKNOWN);
    expect(map.words[3]).toBe(SLOT_ZERO);
    expect(place.source.requests).toHaveLength(1);
  });

  test('two maps share a slot, eviction clears both, a released map is left alone', async () => {
    const chunks = place.source.addSegment('s', 1, 3);
    const mirror = await place.open();
    const maps = [0, 1, 2].map(() => mirror.createMap(CHUNK, 3));
    for (const map of maps) (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(maps[0]!.words).toEqual(maps[1]!.words);
    mirror.releaseMap(maps[2]!);
    const before = [...maps[2]!.words];
    expect(await mirror.giveWay(3 * CHUNK)).toBe(3 * CHUNK);
    expect([...maps[0]!.words, ...maps[1]!.words]).toEqual([0, 0, 0, 0, 0, 0]);
    expect([...maps[2]!.words]).toEqual(before);
    expect(mirror.statistics()).toMatchObject({ localBytes: 0, evictedChunks: 3 });
    expect(statSync(join(place.directory, 'mirror', `slots-${String(CHUNK)}`)).blocks).toBe(0);
  });

  test('chunks of different sizes live side by side', async () => {
    const small = place.source.addSegment('small', 1, 2);
    const large = place.source.addSegment('large', 1, 2, 4 * CHUNK);
    const mirror = await place.open({ quotaBytes: 9 * CHUNK });
    const [one, two] = [mirror.createMap(CHUNK, 2), mirror.createMap(4 * CHUNK, 2)];
    (await mirror.ensure(one, wanted(small), 'demand')).release();
    const lease = await mirror.ensure(two, wanted(large), 'demand');
    expect(holds(readChunk(mirror, two, 1), 2)).toBe(true);
    lease.release();
    expect(mirror.statistics().localBytes).toBeLessThanOrEqual(9 * CHUNK);
    expect(() => mirror.slotFile(12345)).toThrow(/chunk size/);
  });
});

describe('insert', () => {
  test('keeps a chunk that this host made: nothing is fetched for it', async () => {
    const [chunk] = place.source.addSegment('s', 1, 1);
    const mirror = await place.open();
    await Promise.all([mirror.insert(chunk!.id, bytesOf(1)), mirror.insert(chunk!.id, bytesOf(1))]);
    await mirror.insert(chunk!.id, bytesOf(1));
    const map = mirror.createMap(CHUNK, 1);
    (await mirror.ensure(map, wanted([chunk!]), 'demand')).release();
    expect(holds(readChunk(mirror, map, 0), 1)).toBe(true);
    expect(place.source.requests).toHaveLength(0);
    expect(mirror.statistics().localBytes).toBe(CHUNK);
  });

  test('stays within the quota', async () => {
    const mirror = await place.open({ quotaBytes: 4 * CHUNK });
    for (let n = 0; n < 20; n++) await mirror.insert(sha256(bytesOf(n)), bytesOf(n));
    await mirror.giveWay(0);
    expect(mirror.statistics().localBytes).toBeLessThanOrEqual(4 * CHUNK);
  });
});

describe('another start', () => {
  async function fill(count: number, bootId = 'boot-1') {
    const chunks = place.source.addSegment('s', 1, count);
    const mirror = await place.open({ bootId });
    (await mirror.ensure(mirror.createMap(CHUNK, count), wanted(chunks), 'demand')).release();
    await mirror.close();
    place.source.requests.length = 0;
    return chunks;
  }
  const slotsPath = () => join(place.directory, 'mirror', `slots-${String(CHUNK)}`);

  function spoilSlot(slot: number): void {
    const descriptor = openSync(slotsPath(), 'r+');
    writeSync(descriptor, Buffer.from('spoiled'), 0, 7, slot * CHUNK + 100);
    closeSync(descriptor);
  }

  test('finds its chunks: nothing is fetched, publishLocal knows them', async () => {
    const chunks = await fill(5);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 5);
    await mirror.publishLocal(map, wanted(chunks));
    for (let n = 0; n < 5; n++) expect(holds(readChunk(mirror, map, n), n + 1)).toBe(true);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(place.source.requests).toHaveLength(0);
  });

  test('under another boot id verifies each chunk at its first use, and fetches only what is wrong', async () => {
    const chunks = await fill(6);
    spoilSlot(2);
    const mirror = await place.open({ bootId: 'boot-2' });
    const map = mirror.createMap(CHUNK, 6);
    await mirror.publishLocal(map, wanted(chunks));
    expect([...map.words]).toEqual([0, 0, 0, 0, 0, 0]);
    const leases = await Promise.all([1, 2, 3].map(async () => mirror.ensure(map, wanted(chunks), 'demand')));
    for (let n = 0; n < 6; n++) expect(holds(readChunk(mirror, map, n), n + 1)).toBe(true);
    for (const lease of leases) lease.release();
    expect(place.source.requests).toEqual([{ segment: 's', offsetBytes: 2 * CHUNK, lengthBytes: CHUNK }]);
    await mirror.close();

    const again = await place.open({ bootId: 'boot-2' });
    const other = again.createMap(CHUNK, 6);
    await again.publishLocal(other, wanted(chunks));
    for (let n = 0; n < 6; n++) expect(holds(readChunk(again, other, n), n + 1)).toBe(true);
  });

  test('what was not verified under the new boot id stays unverified over further starts', async () => {
    const chunks = await fill(2);
    await (await place.open({ bootId: 'boot-2' })).close();
    spoilSlot(0);
    const mirror = await place.open({ bootId: 'boot-2' });
    const map = mirror.createMap(CHUNK, 2);
    const lease = await mirror.ensure(map, wanted(chunks), 'demand');
    expect(holds(readChunk(mirror, map, 0, lease), 1)).toBe(true);
    lease.release();
    expect(place.source.requests).toHaveLength(1);
  });

  test.each([
    ['replaced', () => (rmSync(slotsPath()), writeFileSync(slotsPath(), Buffer.alloc(2 * CHUNK)))],
    ['removed', () => rmSync(slotsPath())],
    ['cut short', () => execFileSync('truncate', ['-s', String(CHUNK), slotsPath()])],
  ])('a slot file that was %s is not believed', async (_, harm) => {
    const chunks = await fill(2);
    harm();
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 2);
    const lease = await mirror.ensure(map, wanted(chunks), 'demand');
    for (let n = 0; n < 2; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    lease.release();
    expect(place.source.requests.length).toBeGreaterThan(0);
  });

  const damageRecord = (): void => {
    const record = join(place.directory, 'mirror', 'record');
    for (const name of readdirSync(record)) {
      if (name.startsWith('MANIFEST')) writeFileSync(join(record, name), 'x');
    }
  };

  test.each([
    ['damaged', damageRecord],
    ['gone', () => rmSync(join(place.directory, 'mirror', 'record'), { recursive: true })],
  ])('when the record is %s, the slots say what they hold; what has other bytes is fetched again', async (_, harm) => {
    const chunks = await fill(12);
    spoilSlot(5);
    harm();
    const mirror = await place.open();
    expect(place.log.lines.some((line) => line.includes('found again'))).toBe(true);
    const map = mirror.createMap(CHUNK, 12);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    for (let n = 0; n < 12; n++) expect(holds(readChunk(mirror, map, n), n + 1)).toBe(true);
    expect(place.source.requests).toEqual([{ segment: 's', offsetBytes: 5 * CHUNK, lengthBytes: CHUNK }]);
    await mirror.close();

    // And the next start believes what this one wrote.
    const again = await place.open();
    const other = again.createMap(CHUNK, 12);
    await again.publishLocal(other, wanted(chunks));
    for (let n = 0; n < 12; n++) expect(holds(readChunk(again, other, n), n + 1)).toBe(true);
    expect(place.source.requests).toHaveLength(1);
  });

  test('a damaged record over slots that hold nothing is an empty mirror', async () => {
    const chunks = await fill(3);
    damageRecord();
    truncateSync(slotsPath(), 0);
    truncateSync(slotsPath(), 3 * CHUNK);
    const mirror = await place.open();
    expect(mirror.statistics().localBytes).toBe(0);
    const map = mirror.createMap(CHUNK, 3);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(holds(readChunk(mirror, map, 2), 3)).toBe(true);
  });

  test('a second mirror in the same folder is BUSY', async () => {
    await place.open();
    await expect(place.open()).rejects.toMatchObject({ code: 'BUSY' });
  });
});

describe('a local disk that fails', () => {
  /** The slot file inside a mirror, to make its calls fail. */
  function fileOf(mirror: Mirror) {
    type Inside = { slots: { pool(size: number): { file: OpenSlotFile } } };
    return (mirror as unknown as Inside).slots.pool(CHUNK).file;
  }
  const eio = () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));

  test('a slot that can not be read while it is verified is fetched anew, and never used again', async () => {
    const chunks = place.source.addSegment('s', 1, 3);
    const first = await place.open();
    (await first.ensure(first.createMap(CHUNK, 3), wanted(chunks), 'demand')).release();
    await first.close();
    const mirror = await place.open({ bootId: 'boot-2' });
    const file = fileOf(mirror);
    const read = file.read.bind(file);
    file.read = (slot) => (slot === 1 ? eio() : read(slot));
    const map = mirror.createMap(CHUNK, 3);
    const lease = await mirror.ensure(map, wanted(chunks), 'demand');
    for (let n = 0; n < 3; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    expect([...map.words]).not.toContain(1 + FIRST_SLOT);
    lease.release();
    expect(place.source.requests).toHaveLength(2);
    await mirror.giveWay(3 * CHUNK);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect([...map.words]).not.toContain(1 + FIRST_SLOT);
  });

  test('a slot that can not be written is retired, and the read is answered', async () => {
    const chunks = place.source.addSegment('s', 1, 2);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 2);
    const file = fileOf(mirror);
    const write = file.write.bind(file);
    file.write = (slot, bytes) => (slot === 0 ? eio() : write(slot, bytes));
    const lease = await mirror.ensure(map, wanted(chunks), 'demand');
    expect(lease.transient(0)).toBeDefined();
    for (let n = 0; n < 2; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    lease.release();
    expect(lease.transient(0)).toBeUndefined();
    const again = await mirror.ensure(map, wanted(chunks), 'demand');
    expect(again.transient(0)).toBeUndefined();
    expect(holds(readChunk(mirror, map, 0, again), 1)).toBe(true);
    again.release();
  });

  test('a kept slot that can not be read any more is an IO error once, then fetched anew', async () => {
    const chunks = place.source.addSegment('s', 1, 2);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 2);
    const held = await mirror.ensure(map, wanted(chunks), 'demand');
    const file = fileOf(mirror);
    const readSync = file.readSync.bind(file);
    file.readSync = (slot, offset, target) => {
      if (slot === 0) throw new LazydiskError('IO', 'EIO');
      readSync(slot, offset, target);
    };
    expect(() => readChunk(mirror, map, 0)).toThrow(LazydiskError);
    expect(map.words[0]).toBe(SLOT_UNKNOWN);
    const lease = await mirror.ensure(map, wanted(chunks), 'demand');
    for (let n = 0; n < 2; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    held.release();
    lease.release();
    expect(place.source.requests).toHaveLength(2);
  });

  test('two records for one slot are both doubted, by this start and the next', async () => {
    const chunks = place.source.addSegment('s', 1, 2);
    const first = await place.open();
    (await first.ensure(first.createMap(CHUNK, 2), wanted(chunks), 'demand')).release();
    type Inside = {
      slots: { record: { keep(size: number, kept: { id: string; slot: number }[]): Promise<void> } };
    };
    const { record } = (first as unknown as Inside).slots;
    await record.keep(CHUNK, [{ id: chunks[1]!.id, slot: 0 }]);
    await first.close();
    place.source.requests.length = 0;
    for (let start = 0; start < 2; start++) await (await place.open()).close();
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 2);
    await mirror.publishLocal(map, wanted(chunks));
    expect([...map.words]).toEqual([SLOT_UNKNOWN, SLOT_UNKNOWN]);
    const lease = await mirror.ensure(map, wanted(chunks), 'demand');
    for (let n = 0; n < 2; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    lease.release();
  });
});
