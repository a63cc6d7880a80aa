import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { LazydiskError, type ErrorCode } from '../../lib/util/errors.js';
import { pause } from '../../lib/store/calls.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { ObjectStore } from '../../lib/store/object-store.js';
import { retrying, type Retry, type RetryingOptions } from '../../lib/store/retrying.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { ManualClock } from '../helpers/manual-clock.js';
import { objectStoreSuite } from '../suites/object-store.suite.js';

objectStoreSuite('a retrying memory store', async () => ({
  store: retrying(new MemoryStore(), { timeoutMs: 60_000 }),
}));

let clock: ManualClock;
let memory: MemoryStore;
let faulty: FaultyStore;
let retries: Retry[];
beforeEach(() => {
  clock = new ManualClock();
  memory = new MemoryStore();
  faulty = new FaultyStore(memory);
  retries = [];
});

function store(options: Partial<RetryingOptions> = {}): ObjectStore {
  return retrying(faulty, {
    timeoutMs: 300_000,
    clock,
    random: () => 0.5,
    onRetry: (retry) => retries.push(retry),
    ...options,
  });
}

describe('what is tried again', () => {
  it.each(['get', 'put', 'list', 'delete'] as const)('%s succeeds after failures that pass', async (operation) => {
    await memory.put('key', Buffer.from('x'));
    faulty.inject({ kind: 'fail-before' }, { operation, times: 3 });
    const patient = store();
    const calls: Record<string, () => Promise<unknown>> = {
      get: () => patient.get('key'),
      put: () => patient.put('key', Buffer.from('y')),
      list: () => patient.list(''),
      delete: () => patient.delete('key'),
    };
    await clock.runUntilSettled(calls[operation]!());
    expect(faulty.counts[operation].requests).toBe(4);
    expect(retries.map(({ operation: of, attempts }) => [of, attempts])).toEqual([
      [operation, 1],
      [operation, 2],
      [operation, 3],
    ]);
    expect(clock.pendingTimers).toBe(0);
  });

  const finalCodes: ErrorCode[] = [
    'NOT_FOUND',
    'EXISTS',
    'REFUSED',
    'DAMAGED',
    'USAGE',
    'NO_SPACE',
    'UNSUPPORTED',
    'IO',
  ];
  it.each(finalCodes)('%s is final', async (code) => {
    faulty.inject({ kind: 'fail-before', error: new LazydiskError(code, 'final') });
    await expect(store().get('key')).rejects.toMatchObject({ code, message: 'final' });
    expect(faulty.requests).toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('an error that is none of ours is final', async () => {
    faulty.inject({ kind: 'fail-before', error: new TypeError('a bug') });
    await expect(store().get('key')).rejects.toThrow('a bug');
    expect(faulty.requests).toBe(1);
  });
});

describe('how long it is tried', () => {
  it('the bound of the waits doubles up to the longest', async () => {
    faulty.inject({ kind: 'fail-before' }, { times: 9 });
    await memory.put('key', Buffer.from('x'));
    await clock.runUntilSettled(store({ firstDelayMs: 100, longestDelayMs: 5_000 }).get('key'));
    expect(retries.map(({ delayMs }) => delayMs)).toEqual([50, 100, 200, 400, 800, 1_600, 2_500, 2_500, 2_500]);
  });

  it('every wait is below its bound, whatever chance says', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 12, maxLength: 12 }),
        async (chances) => {
          clock = new ManualClock();
          retries = [];
          faulty.clearFaults();
          faulty.inject({ kind: 'fail-before' }, { times: chances.length });
          const left = [...chances];
          await memory.put('key', Buffer.from('x'));
          await clock.runUntilSettled(store({ random: () => left.shift()! }).get('key'));
          for (const [index, { delayMs }] of retries.entries()) {
            expect(delayMs).toBeLessThan(Math.min(10_000, 100 * 2 ** index) || 1);
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  it('ends as UNREACHABLE within timeoutMs, and tells the last reason', async () => {
    faulty.setOutage(true);
    await expect(clock.runUntilSettled(store({ timeoutMs: 60_000 }).get('key'))).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringMatching(/^memory: was tried \d+ times in \d+ s, the last time with: Injected: get key/),
      cause: { code: 'UNREACHABLE' },
    });
    expect(clock.nowMs()).toBeLessThanOrEqual(60_000);
    expect(clock.nowMs()).toBeGreaterThan(50_000);
  });

  it('goes on for ever with timeoutMs 0', async () => {
    await memory.put('key', Buffer.from('x'));
    faulty.inject({ kind: 'fail-before' }, { times: 1_000 });
    await clock.runUntilSettled(store({ timeoutMs: 0 }).get('key'));
    expect(faulty.requests).toBe(1_001);
    expect(clock.nowMs()).toBeGreaterThan(3_600_000);
  });

  it('gives up an attempt that stalls, and the next one succeeds', async () => {
    await memory.put('key', Buffer.from('x'));
    faulty.inject({ kind: 'stall' });
    await clock.runUntilSettled(store({ attemptTimeoutMs: 7_000 }).get('key'));
    expect(faulty.requests).toBe(2);
    expect(retries[0]?.error).toMatchObject({
      code: 'UNREACHABLE',
      message: 'memory: did not finish get key within 7.0 s.',
    });
  });

  it('tells what failed, not that the last attempt had no time left', async () => {
    faulty.inject({ kind: 'fail-before' });
    faulty.inject({ kind: 'stall' }, { times: Number.POSITIVE_INFINITY });
    const get = store({ timeoutMs: 20_000, attemptTimeoutMs: 60_000 }).get('key');
    await expect(clock.runUntilSettled(get)).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('Injected: get key'),
    });
  });

  it('ends in the middle of an attempt that stalls', async () => {
    faulty.inject({ kind: 'stall' }, { times: Number.POSITIVE_INFINITY });
    const get = store({ timeoutMs: 10_000, attemptTimeoutMs: 60_000 }).get('key');
    await expect(clock.runUntilSettled(get)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    expect(clock.nowMs()).toBe(10_000);
    expect(faulty.stalledCalls).toBe(0);
  });

  it('gives a big transfer the time that its bytes take on a slow link', async () => {
    faulty.inject({ kind: 'stall' }, { times: Number.POSITIVE_INFINITY });
    const options = { timeoutMs: 10_000, slowestBytesPerSecond: 1_000 };
    await expect(clock.runUntilSettled(store(options).put('key', Buffer.alloc(90_000)))).rejects.toMatchObject({
      code: 'UNREACHABLE',
    });
    expect(clock.nowMs()).toBe(100_000);
  });
});

describe('a listing that comes piece by piece', () => {
  /** Its list takes so long for each piece. */
  function slowly(...piecesMs: readonly number[]): ObjectStore {
    return {
      location: memory.location,
      get: (key, options) => memory.get(key, options),
      put: (key, bytes, options) => memory.put(key, bytes, options),
      delete: (key, options) => memory.delete(key, options),
      close: () => memory.close(),
      async list(prefix, { signal, onPiece } = {}) {
        for (const ms of piecesMs) {
          await pause(ms, { clock, signal, location: memory.location });
          onPiece?.();
        }
        return memory.list(prefix);
      },
    };
  }

  it('may take longer than an attempt, and than a call, while it goes on', async () => {
    await memory.put('key', Buffer.from('x'));
    const patient = retrying(slowly(50_000, 50_000, 50_000, 50_000), { timeoutMs: 100_000, clock });
    const listing = patient.list('');
    await clock.runUntilSettled(listing);
    expect((await listing).objects).toHaveLength(1);
    expect(clock.nowMs()).toBe(200_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([
    [60_000, 90_000],
    [20_000, 50_000],
  ])('is given up when the next piece does not come, with a timeout of %i ms after %i', async (timeoutMs, endMs) => {
    const listing = retrying(slowly(10_000, 10_000, 10_000, 90_000), { timeoutMs, clock }).list('');
    await expect(clock.runUntilSettled(listing)).rejects.toMatchObject({ code: 'UNREACHABLE' });
    expect(clock.nowMs()).toBe(endMs);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('a caller who goes away', () => {
  it('ends the attempt', async () => {
    faulty.inject({ kind: 'stall' });
    const controller = new AbortController();
    const get = store().get('key', { signal: controller.signal });
    await faulty.until(() => faulty.stalledCalls === 1);
    controller.abort();
    await expect(get).rejects.toMatchObject({ code: 'ABORTED' });
    expect(faulty.stalledCalls).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is listened to once for each call, until it has ended', async () => {
    faulty.inject({ kind: 'stall' }, { times: 20 });
    const { signal } = new AbortController();
    const patient = store();
    const gets = Array.from({ length: 20 }, () => patient.get('key', { signal }).catch(() => undefined));
    await faulty.until(() => faulty.stalledCalls === 20);
    expect(getEventListeners(signal, 'abort')).toHaveLength(20);
    faulty.releaseStalled();
    await Promise.all(gets);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('ends the wait between attempts', async () => {
    faulty.setOutage(true);
    const controller = new AbortController();
    const waiting = new Promise<void>((resolve) => {
      retries.push = () => {
        resolve();
        return 1;
      };
    });
    const get = store().get('key', { signal: controller.signal });
    await waiting;
    controller.abort();
    await expect(get).rejects.toMatchObject({ code: 'ABORTED' });
    expect(clock.pendingTimers).toBe(0);
    expect(faulty.requests).toBe(1);
  });
});

describe('a put with ifAbsent whose answer was lost', () => {
  const bytes = Buffer.from('mine');

  it('succeeds when the object is its own', async () => {
    faulty.inject({ kind: 'fail-after' }, { operation: 'put' });
    await clock.runUntilSettled(store().put('key', bytes, { ifAbsent: true }));
    expect((await memory.get('key')).equals(bytes)).toBe(true);
    expect(faulty.counts.put.requests).toBe(2);
  });

  it('succeeds when reading it back fails at first', async () => {
    faulty.inject({ kind: 'fail-after' }, { operation: 'put' });
    faulty.inject({ kind: 'fail-before' }, { operation: 'get', times: 2 });
    await clock.runUntilSettled(store().put('key', bytes, { ifAbsent: true }));
    expect((await memory.get('key')).equals(bytes)).toBe(true);
  });

  it('is EXISTS when the object is another one', async () => {
    await memory.put('key', Buffer.from('theirs'));
    faulty.inject({ kind: 'fail-before' }, { operation: 'put' });
    const put = clock.runUntilSettled(store().put('key', bytes, { ifAbsent: true }));
    await expect(put).rejects.toMatchObject({ code: 'EXISTS' });
    expect((await memory.get('key')).toString()).toBe('theirs');
  });

  it('is EXISTS at the first attempt also when the bytes are the same: nothing was lost', async () => {
    await memory.put('key', bytes);
    await expect(store().put('key', bytes, { ifAbsent: true })).rejects.toMatchObject({ code: 'EXISTS' });
    expect(faulty.counts.get.requests).toBe(0);
  });

  it('has exactly one winner among racers whose answers get lost at random', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), async (losses) => {
        const inner = new MemoryStore();
        const left = [...losses];
        const lossy = new FaultyStore(inner);
        for (const lost of left) lossy.inject({ kind: lost ? 'fail-after' : 'stall' }, { operation: 'put' });
        clock = new ManualClock();
        const racers = Array.from({ length: 8 }, (_, racer) =>
          retrying(lossy, { timeoutMs: 0, attemptTimeoutMs: 100, clock, random: () => racer / 8 })
            .put('key', Buffer.from([racer]), { ifAbsent: true })
            .then(
              () => [racer],
              () => [],
            ),
        );
        const winners = (await clock.runUntilSettled(Promise.all(racers))).flat();
        expect(winners).toEqual([(await inner.get('key'))[0]]);
      }),
      { numRuns: 20 },
    );
  });
});
