import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FIRST_SLOT, SLOT_UNKNOWN } from '../../lib/mirror/api.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { CHUNK, TestPlace, holds, readChunk, wanted } from './fake-source.js';

let place: TestPlace;
beforeEach(async () => {
  place = await TestPlace.make();
});
afterEach(async () => {
  await place.remove();
});

/** Requests that begin to travel wait until `open`. */
function holdRequests(): { readonly open: () => void; readonly travelling: () => number } {
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  let travelling = 0;
  place.source.fault = async (_, bytes) => {
    travelling++;
    await gate;
    return bytes;
  };
  return { open, travelling: () => travelling };
}

describe('prefetch', () => {
  test('fetches and publishes, and holds nothing', async () => {
    const chunks = place.source.addSegment('s', 1, 6);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 10);
    const outcome = await mirror.prefetch(map, wanted(chunks, 2), 'prefetch');
    expect(outcome).toEqual({ arrivedChunks: 6, failedChunks: 0, refusedChunks: 0 });
    for (let n = 0; n < 6; n++) expect(holds(readChunk(mirror, map, n + 2), n + 1)).toBe(true);
    expect(mirror.statistics()).toMatchObject({ fetchRequests: 2, fetchedBytes: 6 * CHUNK }); // 256 KiB a run at first
    expect(await mirror.giveWay(6 * CHUNK)).toBe(6 * CHUNK);
  });

  test('publishes what is here without a request, in another map too', async () => {
    const chunks = place.source.addSegment('s', 1, 3);
    const mirror = await place.open();
    (await mirror.ensure(mirror.createMap(CHUNK, 3), wanted(chunks), 'demand')).release();
    const map = mirror.createMap(CHUNK, 3);
    const outcome = await mirror.prefetch(map, wanted(chunks), 'fill');
    expect(outcome.arrivedChunks).toBe(3);
    expect([...map.words].every((word) => word >= FIRST_SLOT)).toBe(true);
    expect(place.source.requests).toHaveLength(1);
  });

  test('joins what is on its way: one fetch per chunk', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const mirror = await place.open();
    const [one, two] = [mirror.createMap(CHUNK, 4), mirror.createMap(CHUNK, 4)];
    const held = holdRequests();
    const prefetched = mirror.prefetch(one, wanted(chunks), 'prefetch');
    const demanded = mirror.ensure(two, wanted(chunks), 'demand');
    const again = mirror.prefetch(two, wanted(chunks), 'readahead');
    held.open();
    expect((await prefetched).arrivedChunks).toBe(4);
    expect((await again).arrivedChunks).toBe(4);
    (await demanded).release();
    expect(one.words).toEqual(two.words);
    expect(place.source.requests).toHaveLength(1);
  });

  test('a chunk that fails is counted, the others arrive', async () => {
    const good = place.source.addSegment('good', 1, 2);
    const bad = place.source.addSegment('bad', 10, 3);
    const mirror = await place.open();
    const map = mirror.createMap(CHUNK, 5);
    place.source.fault = (request, bytes) => {
      if (request.segment === 'bad') throw new LazydiskError('UNREACHABLE', 'away');
      return bytes;
    };
    const outcome = await mirror.prefetch(map, wanted([...bad, ...good]), 'readahead');
    expect(outcome).toEqual({ arrivedChunks: 2, failedChunks: 3, refusedChunks: 0 });
    expect([...map.words].map((word) => word >= FIRST_SLOT)).toEqual([false, false, false, true, true]);
  });

  test('an aborted caller leaves; what has not begun is dropped', async () => {
    const first = place.source.addSegment('first', 1, 1);
    const later = place.source.addSegment('later', 2, 1);
    const mirror = await place.open({ maxRequests: 2, maxBytesInFlight: 2 * CHUNK });
    const map = mirror.createMap(CHUNK, 2);
    const held = holdRequests();
    const running = mirror.prefetch(map, wanted(first), 'prefetch');
    const controller = new AbortController();
    const queued = mirror.prefetch(map, wanted(later, 1), 'fill', controller.signal);
    while (mirror.statistics().waitingFetches < 2) await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    await expect(queued).rejects.toMatchObject({ code: 'ABORTED' });
    held.open();
    await running;
    await expect(mirror.prefetch(map, wanted(later, 1), 'fill', controller.signal)).rejects.toMatchObject({
      code: 'ABORTED',
    });
    expect(place.source.requests.map((request) => request.segment)).toEqual(['first']);
  });

  test('a chunk of another boot is proven in place, not fetched', async () => {
    const chunks = place.source.addSegment('s', 1, 3);
    const first = await place.open();
    await first.prefetch(first.createMap(CHUNK, 3), wanted(chunks), 'fill');
    await first.close();
    const mirror = await place.open({ bootId: 'boot-2', quotaBytes: 3 * CHUNK });
    const map = mirror.createMap(CHUNK, 3);
    expect((await mirror.prefetch(map, wanted(chunks), 'fill')).arrivedChunks).toBe(3);
    for (let n = 0; n < 3; n++) expect(holds(readChunk(mirror, map, n), n + 1)).toBe(true);
    expect(place.source.requests).toHaveLength(1);
  });

  test('a mirror that is being closed counts what it did not fetch as failed', async () => {
    const chunks = place.source.addSegment('s', 1, 2);
    const mirror = await place.open();
    holdRequests();
    const waiting = mirror.prefetch(mirror.createMap(CHUNK, 2), wanted(chunks), 'prefetch');
    await mirror.close();
    expect(await waiting).toEqual({ arrivedChunks: 0, failedChunks: 2, refusedChunks: 0 });
  });
});

describe('fill and the quota', () => {
  test('fill is refused where there is no free room, without a request', async () => {
    const chunks = place.source.addSegment('s', 1, 12);
    const mirror = await place.open({ quotaBytes: 8 * CHUNK });
    const map = mirror.createMap(CHUNK, 12);
    (await mirror.ensure(map, wanted(chunks.slice(0, 3)), 'demand')).release();
    const outcome = await mirror.prefetch(map, wanted(chunks), 'fill');
    expect(outcome).toEqual({ arrivedChunks: 8, failedChunks: 0, refusedChunks: 4 });
    const requests = place.source.requests.slice(1);
    expect(requests[0]!.offsetBytes).toBe(3 * CHUNK);
    expect(requests.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)).toBe(5 * CHUNK);
    expect(mirror.statistics()).toMatchObject({ evictedChunks: 0, localBytes: 8 * CHUNK });
    expect(await mirror.prefetch(map, wanted(chunks.slice(8), 8), 'fill')).toMatchObject({ refusedChunks: 4 });
    expect(place.source.requests).toHaveLength(1 + requests.length);
  });

  test('fills that run at once share the room', async () => {
    const chunks = place.source.addSegment('s', 1, 12);
    const mirror = await place.open({ quotaBytes: 8 * CHUNK });
    const map = mirror.createMap(CHUNK, 12);
    const held = holdRequests();
    const both = [
      mirror.prefetch(map, wanted(chunks.slice(0, 6)), 'fill'),
      mirror.prefetch(map, wanted(chunks.slice(6), 6), 'fill'),
    ];
    held.open();
    const outcomes = await Promise.all(both);
    expect(outcomes.map(({ arrivedChunks }) => arrivedChunks)).toEqual([6, 2]);
    expect(mirror.statistics().evictedChunks).toBe(0);
  });

  test('without a quota fills that begin together all find the room of the file system', async () => {
    const mirror = await place.open({ quotaBytes: null });
    const map = mirror.createMap(CHUNK, 12);
    const chunks = place.source.addSegment('s', 1, 12);
    const outcomes = await Promise.all(
      [0, 3, 6, 9].map(async (n) => mirror.prefetch(map, wanted(chunks.slice(n, n + 3), n), 'fill')),
    );
    expect(outcomes.map(({ arrivedChunks }) => arrivedChunks)).toEqual([3, 3, 3, 3]);
  });

  test('room that demand takes while a fill travels is not taken back: the fill is refused', async () => {
    const fill = place.source.addSegment('fill', 1, 4);
    const demand = place.source.addSegment('demand', 10, 6);
    const mirror = await place.open({ quotaBytes: 8 * CHUNK });
    const map = mirror.createMap(CHUNK, 10);
    let open: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    place.source.fault = async (request, bytes) => {
      if (request.segment === 'fill') await gate;
      return bytes;
    };
    const filling = mirror.prefetch(map, wanted(fill), 'fill');
    while (place.source.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    (await mirror.ensure(map, wanted(demand, 4), 'demand')).release();
    open();
    expect(await filling).toEqual({ arrivedChunks: 2, failedChunks: 0, refusedChunks: 2 });
    expect(mirror.statistics()).toMatchObject({ evictedChunks: 0, localBytes: 8 * CHUNK });
    for (let n = 4; n < 10; n++) expect(map.words[n]).not.toBe(SLOT_UNKNOWN);
  });

  test('readahead and prefetch may evict', async () => {
    const chunks = place.source.addSegment('s', 1, 12);
    const mirror = await place.open({ quotaBytes: 8 * CHUNK });
    const map = mirror.createMap(CHUNK, 12);
    await mirror.prefetch(map, wanted(chunks.slice(0, 8)), 'readahead');
    const outcome = await mirror.prefetch(map, wanted(chunks.slice(8), 8), 'prefetch');
    expect(outcome.arrivedChunks).toBe(4);
    expect(mirror.statistics()).toMatchObject({ evictedChunks: 4, localBytes: 8 * CHUNK });
  });

  test('a fill that somebody demands meanwhile is kept as demand is', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const other = place.source.addSegment('other', 10, 8);
    const mirror = await place.open({ quotaBytes: 8 * CHUNK });
    const map = mirror.createMap(CHUNK, 12);
    const held = holdRequests();
    const filling = mirror.prefetch(map, wanted(chunks), 'fill');
    while (held.travelling() === 0) await new Promise((resolve) => setImmediate(resolve));
    place.source.fault = undefined;
    (await mirror.ensure(map, wanted(other, 4), 'demand')).release();
    const demanded = mirror.ensure(map, wanted(chunks), 'demand');
    held.open();
    const lease = await demanded;
    for (let n = 0; n < 4; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    expect(lease.transient(0)).toBeUndefined();
    lease.release();
    expect((await filling).arrivedChunks).toBe(4);
    expect(mirror.statistics().evictedChunks).toBe(4);
  });
});
