/** Chunks on their way: what is answered when, in which order GETs start, and how often. */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { FIRST_SLOT, SLOT_UNKNOWN, type Mirror, type SlotMap } from '../../lib/mirror/api.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { bytesOf, CHUNK, holds, readChunk, TestPlace, wanted } from './fake-source.js';
import { ScriptedSource, until } from './scripted-source.js';

let place: TestPlace;
let source: ScriptedSource;
beforeEach(async () => {
  place = await TestPlace.make();
  source = new ScriptedSource(place.source);
});
afterEach(async () => {
  await place.remove();
});

const isHere = (map: SlotMap, chunk: number) => map.words[chunk]! >= FIRST_SLOT;
const numberOfChunks = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n);

describe('early return', () => {
  test('a read is answered while the rest of its GET is on its way', async () => {
    const chunks = place.source.addSegment('s', 1, 8);
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 8);
    const all = mirror.ensure(map, wanted(chunks), 'demand');
    const first = mirror.ensure(map, wanted(chunks.slice(0, 2)), 'demand');
    const get = await source.get(0);
    get.bring(2 * CHUNK + 100);
    const lease = await first;
    expect([0, 1, 2].map((n) => isHere(map, n))).toEqual([true, true, false]);
    expect(holds(readChunk(mirror, map, 1, lease), 2)).toBe(true);
    lease.release();
    get.bring(3 * CHUNK);
    await until(() => isHere(map, 4));
    expect(isHere(map, 5)).toBe(false);
    get.finish();
    (await all).release();
    expect(source.gets).toHaveLength(1);
  });

  test('the chunks of one run stand side by side in the slot file, whatever comes between them', async () => {
    const a = place.source.addSegment('a', 1, 6);
    const b = place.source.addSegment('b', 20, 6);
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 12);
    const both = [mirror.ensure(map, wanted(a), 'demand'), mirror.ensure(map, wanted(b, 6), 'demand')];
    await until(() => source.gets.length === 2);
    for (let n = 0; n < 6; n++) {
      for (const [index, get] of source.gets.entries()) {
        get.bring(CHUNK);
        await until(() => isHere(map, index * 6 + n));
      }
    }
    for (const get of source.gets) get.finish();
    for (const lease of await Promise.all(both)) lease.release();
    for (const first of [0, 6]) {
      expect(numberOfChunks(first, 6).map((n) => map.words[n]! - map.words[first]!)).toEqual([0, 1, 2, 3, 4, 5]);
    }
  });

  test('a try that begins again brings the rest; what was here is not handled twice', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 4);
    const reading = mirror.ensure(map, wanted(chunks), 'demand');
    const get = await source.get(0);
    get.bring(1.5 * CHUNK);
    await until(() => isHere(map, 0));
    get.beginAgain();
    get.bring(CHUNK / 2);
    get.finish();
    const lease = await reading;
    for (let n = 0; n < 4; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    lease.release();
    expect(mirror.statistics()).toMatchObject({ fetchRequests: 1, fetchedChunks: 4, fetchedBytes: 5.5 * CHUNK });
  });

  test('a chunk damaged in the middle is fetched again while the others of its run arrive', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 4);
    const reading = mirror.ensure(map, wanted(chunks), 'demand');
    const get = await source.get(0);
    get.spoil(CHUNK + 17);
    get.bring(3 * CHUNK);
    const again = await source.get(1);
    expect(again.chunks).toEqual([1, 1]);
    await until(() => isHere(map, 0) && isHere(map, 2));
    expect(isHere(map, 1)).toBe(false);
    again.finish();
    await until(() => isHere(map, 1));
    expect(isHere(map, 3)).toBe(false);
    get.finish();
    const lease = await reading;
    for (let n = 0; n < 4; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    lease.release();
    expect(source.gets).toHaveLength(2);
  });

  test('a GET that fails in the middle fails what has not come, and keeps what has', async () => {
    const chunks = place.source.addSegment('s', 1, 4);
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 4);
    const outcome = mirror.prefetch(map, wanted(chunks), 'readahead');
    const get = await source.get(0);
    get.bring(2 * CHUNK);
    get.fail(new LazydiskError('UNREACHABLE', 'away'));
    expect(await outcome).toEqual({ arrivedChunks: 2, failedChunks: 2, refusedChunks: 0 });
    expect([0, 1, 2, 3].map((n) => isHere(map, n))).toEqual([true, true, false, false]);
    expect(source.gets).toHaveLength(1);
  });

  test('chunks that are stored compressed are decoded, and damaged ones are not believed', async () => {
    const plain = [1, 2, 3].map((tag) => bytesOf(tag).fill(tag, 1000));
    const chunks = await place.source.addCodedSegment('z', plain);
    expect(chunks.every(({ codec, storedBytes }) => codec === 'zstd' && storedBytes < CHUNK / 8)).toBe(true);
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 3);
    const reading = mirror.ensure(map, wanted(chunks), 'demand');
    const get = await source.get(0);
    get.spoil(chunks[1]!.offsetBytes + 40);
    get.finish();
    const again = await source.get(1);
    expect(again.request).toMatchObject({ offsetBytes: chunks[1]!.offsetBytes, lengthBytes: chunks[1]!.storedBytes });
    again.finish();
    const lease = await reading;
    for (let n = 0; n < 3; n++) expect(readChunk(mirror, map, n, lease)).toEqual(plain[n]);
    lease.release();
  });
});

describe('the order of GETs', () => {
  /** A fill of 64 chunks of which the window lets 16 travel. */
  async function filling(mirror: Mirror, map: SlotMap) {
    const chunks = place.source.addSegment('fill', 1, 64);
    const outcome = mirror.prefetch(map, wanted(chunks), 'fill');
    await source.get(3);
    expect(source.gets.map(({ chunks: asked }) => asked)).toEqual([0, 4, 8, 12].map((first) => [first, 4]));
    return { chunks, outcome };
  }

  test('demand starts at once, whatever is under way, and takes along what waits behind it, one run above the window', async () => {
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 64);
    const { chunks, outcome } = await filling(mirror, map);
    const one = mirror.ensure(map, wanted(chunks.slice(40, 41), 40), 'demand');
    expect((await source.get(4)).chunks).toEqual([40, 5]);
    const two = mirror.ensure(map, wanted(chunks.slice(50, 52), 50), 'demand');
    expect((await source.get(5)).chunks).toEqual([50, 2]);
    source.gets[4]!.bring(CHUNK);
    (await one).release();
    expect(isHere(map, 41)).toBe(false);
    source.isOpen = true;
    for (const get of source.gets) get.finish();
    (await two).release();
    expect((await outcome).arrivedChunks).toBe(64);
    expect(mirror.statistics().fetchedBytes).toBe(64 * CHUNK);
  });

  test('readahead goes before prefetch, prefetch before fill, in whichever order they came', async () => {
    const mirror = await place.open({ source, maxRequests: 2, maxBytesInFlight: 2 * CHUNK });
    const map = mirror.createMap(CHUNK, 8);
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name, n) => place.source.addSegment(name, n + 1, 1));
    const outcomes = [
      mirror.prefetch(map, wanted(a!, 0), 'fill'), // travels
      mirror.prefetch(map, wanted(b!, 1), 'fill'),
    ];
    await source.get(0);
    outcomes.push(mirror.prefetch(map, wanted(c!, 2), 'prefetch'), mirror.prefetch(map, wanted(d!, 3), 'readahead'));
    await until(() => mirror.statistics().waitingFetches === 4);
    source.isOpen = true;
    source.gets[0]!.finish();
    await Promise.all(outcomes);
    expect(source.gets.map(({ request }) => request.segment)).toEqual(['a', 'd', 'c', 'b']);
  });

  test('chunks that were asked for one by one, in any order, travel in one GET', async () => {
    const mirror = await place.open({ source, maxRequests: 2, maxBytesInFlight: 16 * CHUNK });
    const map = mirror.createMap(CHUNK, 8);
    const first = place.source.addSegment('first', 1, 1);
    const chunks = place.source.addSegment('s', 10, 4);
    const running = mirror.prefetch(map, wanted(first, 7), 'prefetch');
    await source.get(0);
    const order = [1, 2, 0, 3];
    const outcomes = order.map(async (n) => mirror.prefetch(map, wanted([chunks[n]!], n), 'prefetch'));
    await until(() => mirror.statistics().waitingFetches === 5);
    source.isOpen = true;
    source.gets[0]!.finish();
    await Promise.all([running, ...outcomes]);
    expect(source.gets.map(({ chunks: asked }) => asked)).toEqual([
      [0, 1],
      [0, 4],
    ]);
  });

  // S45
  test.each(['fill', 'eager'] as const)('%s keeps to its rate; nothing else does', async (priority) => {
    const mirror = await place.open({ source, maxFillBytesPerSecond: 1 });
    const map = mirror.createMap(CHUNK, 12);
    const chunks = place.source.addSegment('s', 1, 12);
    const controller = new AbortController();
    const waiting = mirror.prefetch(map, wanted(chunks), priority, controller.signal);
    source.isOpen = true;
    (await source.get(0)).finish();
    expect(await mirror.prefetch(map, wanted(chunks.slice(6, 8), 6), 'prefetch')).toMatchObject({ arrivedChunks: 2 });
    (await mirror.ensure(map, wanted(chunks.slice(10, 11), 10), 'demand')).release();
    // One run at once, and what others took along of it: the next is due in days.
    const asked = source.gets.map(({ request }) => request.offsetBytes / CHUNK);
    expect(asked).toEqual([0, 6, 10]);
    await until(() => isHere(map, 11));
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
  });
});

describe('a second GET that races a slow one', () => {
  const QUICK = 40;
  /** More than the shortest silence that is unusual. */
  const SILENCE_MS = 25;

  // Time stands still unless a test says so: on a busy machine quick GETs would be slow ones.
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask'] });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  /** So many GETs of a reader, answered at once. */
  async function demandQuickly(mirror: Mirror, map: SlotMap, count: number, from = 0) {
    const chunks = place.source.addSegment(`quick-${String(from)}`, 100 + from, count);
    source.isOpen = true;
    for (let n = 0; n < count; n++) {
      (await mirror.ensure(map, wanted([chunks[n]!], from + n), 'demand')).release();
    }
    source.isOpen = false;
  }

  test('a GET that is silent for unusually long is raced, and the first answer counts', async () => {
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 200);
    await demandQuickly(mirror, map, QUICK);
    const chunks = place.source.addSegment('slow', 1, 2);
    const reading = mirror.ensure(map, wanted(chunks, 100), 'demand');
    const slow = await source.get(QUICK);
    jest.advanceTimersByTime(SILENCE_MS);
    const second = await source.get(QUICK + 1);
    expect(second.request).toEqual(slow.request);
    second.finish();
    (await reading).release();
    await until(() => slow.aborted);
    expect(mirror.statistics()).toMatchObject({ hedges: 1, hedgesWon: 1, fetchRequests: QUICK + 2 });
  });

  test('only what readers wait for and has not come is asked for again', async () => {
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 200);
    await demandQuickly(mirror, map, QUICK);
    const chunks = place.source.addSegment('slow', 1, 6);
    const reading = mirror.ensure(map, wanted(chunks.slice(0, 4), 100), 'demand');
    const slow = await source.get(QUICK);
    slow.bring(1.5 * CHUNK);
    jest.advanceTimersByTime(SILENCE_MS);
    expect((await source.get(QUICK + 1)).chunks).toEqual([1, 3]);
    slow.finish();
    (await reading).release();
    await until(() => source.gets[QUICK + 1]!.aborted);
    expect(mirror.statistics()).toMatchObject({ hedges: 1, hedgesWon: 0 });
  });

  test('a GET that fails while it is raced is no failure when the other brings the chunk', async () => {
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 200);
    await demandQuickly(mirror, map, QUICK);
    const reading = mirror.ensure(map, wanted(place.source.addSegment('slow', 1, 1), 100), 'demand');
    const slow = await source.get(QUICK);
    jest.advanceTimersByTime(SILENCE_MS);
    const second = await source.get(QUICK + 1);
    slow.fail(new LazydiskError('UNREACHABLE', 'away'));
    second.finish();
    (await reading).release();
    expect(isHere(map, 100)).toBe(true);
  });

  test('at most one request in twenty is a second one', async () => {
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 400);
    await demandQuickly(mirror, map, QUICK);
    const slow = Array.from({ length: 8 }, (_, n) => place.source.addSegment(`slow-${String(n)}`, 1 + n, 1));
    const readings = slow.map(async (chunks, n) => mirror.ensure(map, wanted(chunks, 200 + n), 'demand'));
    await source.get(QUICK + slow.length - 1);
    jest.advanceTimersByTime(SILENCE_MS);
    await until(() => mirror.statistics().hedges === 2); // of 48
    for (let turn = 0; turn < 5; turn++) {
      jest.advanceTimersByTime(SILENCE_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(mirror.statistics().hedges).toBe(2);
    for (const get of source.gets) get.finish();
    for (const lease of await Promise.all(readings)) lease.release();
  });

  test('what nobody reads is not raced', async () => {
    const mirror = await place.open({ source });
    const map = mirror.createMap(CHUNK, 400);
    await demandQuickly(mirror, map, QUICK);
    const chunks = place.source.addSegment('slow', 1, 1);
    const outcome = mirror.prefetch(map, wanted(chunks, 200), 'prefetch');
    const slow = await source.get(QUICK);
    const reading = mirror.ensure(map, wanted(place.source.addSegment('other', 2, 1), 201), 'demand');
    await source.get(QUICK + 1);
    jest.advanceTimersByTime(SILENCE_MS);
    (await source.get(QUICK + 2)).finish(); // of two silent GETs the reader's is raced
    (await reading).release();
    expect(source.gets.map(({ request }) => request.segment).slice(QUICK)).toEqual(['slow', 'other', 'other']);
    slow.finish();
    await outcome;
    expect(map.words[300]).toBe(SLOT_UNKNOWN);
  });
});
