import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { limiting } from '../../lib/store/limiting.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { FaultyStore } from '../helpers/faulty-store.js';
import { objectStoreSuite } from '../suites/object-store.suite.js';

objectStoreSuite('a limited memory store', async () => ({
  store: limiting(new MemoryStore(), { maxReads: 3, maxReadBytes: 1000, maxWrites: 2, maxWriteBytes: 1000 }),
}));

let faulty: FaultyStore;
beforeEach(() => {
  faulty = new FaultyStore(new MemoryStore());
  faulty.inject({ kind: 'stall' }, { times: Number.POSITIVE_INFINITY });
});

const settled = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

/** Lets calls go on, one batch after the other, until all are done. */
async function drain(all: Promise<unknown>): Promise<void> {
  let done = false;
  void all.then(() => (done = true));
  while (!done) {
    faulty.releaseStalled();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('the limiting decorator', () => {
  it('bounds reads and writes apart from each other', async () => {
    const store = limiting(faulty, { maxReads: 3, maxWrites: 2 });
    const calls = [
      ...Array.from({ length: 10 }, (_, index) => settled(store.put(`w${index}`, Buffer.alloc(10)))),
      ...Array.from({ length: 10 }, (_, index) => settled(store.get(`r${index}`))),
    ];
    await faulty.until(() => faulty.stalledCalls === 5);
    expect(faulty.counts.get.requests).toBe(3);
    expect(faulty.counts.put.requests).toBe(2);
    await drain(Promise.all(calls));
    expect(faulty.requests).toBe(20);
  });

  it('bounds the bytes in flight, and lets a call above the bound go alone', async () => {
    const store = limiting(faulty, { maxWriteBytes: 100 });
    const sizes = [60, 40, 500, 10, 10];
    const puts = sizes.map((size, index) => settled(store.put(`w${index}`, Buffer.alloc(size))));
    await faulty.until(() => faulty.stalledCalls === 2);
    faulty.releaseStalled();
    await faulty.until(() => faulty.calls.length === 3);
    expect(faulty.calls[2]).toMatchObject({ key: 'w2' });
    expect(faulty.stalledCalls).toBe(1);
    await drain(Promise.all(puts));
    expect(faulty.calls.map(({ key }) => key)).toEqual(['w0', 'w1', 'w2', 'w3', 'w4']);
  });

  it('never has more in flight than its bounds, and loses nobody', async () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(lengths, fc.integer({ min: 1, max: 8 }), async (sizes, maxReads) => {
        let requests = 0;
        let bytes = 0;
        const inner = new MemoryStore();
        await inner.put('key', Buffer.alloc(200));
        class Watching extends MemoryStore {
          override async get(...[key, options]: Parameters<MemoryStore['get']>): Promise<Buffer> {
            const lengthBytes = options?.range?.lengthBytes ?? 0;
            requests += 1;
            bytes += lengthBytes;
            expect(requests).toBeLessThanOrEqual(maxReads);
            expect(bytes <= 100 || requests === 1).toBe(true);
            try {
              return await inner.get(key, options);
            } finally {
              requests -= 1;
              bytes -= lengthBytes;
            }
          }
        }
        const store = limiting(new Watching(), { maxReads, maxReadBytes: 100 });
        await Promise.all(sizes.map((lengthBytes) => store.get('key', { range: { offsetBytes: 0, lengthBytes } })));
        expect([requests, bytes]).toEqual([0, 0]);
      }),
      { numRuns: 50 },
    );
  });

  it('lets a waiting call go when its caller does, and those behind it move up', async () => {
    const store = limiting(faulty, { maxWriteBytes: 100 });
    const first = settled(store.put('first', Buffer.alloc(60)));
    const controller = new AbortController();
    const big = store.put('big', Buffer.alloc(100), { signal: controller.signal });
    const small = settled(store.put('small', Buffer.alloc(40)));
    await faulty.until(() => faulty.stalledCalls === 1);
    controller.abort();
    await expect(big).rejects.toMatchObject({ code: 'ABORTED' });
    await faulty.until(() => faulty.stalledCalls === 2);
    expect(faulty.calls.map(({ key }) => key)).toEqual(['first', 'small']);
    await drain(Promise.all([first, small]));
  });

  it('gives the place back when a call fails or is aborted', async () => {
    faulty.clearFaults();
    faulty.inject({ kind: 'fail-before' });
    faulty.inject({ kind: 'stall' });
    const store = limiting(faulty, { maxReads: 1, maxReadBytes: 1 });
    await expect(store.get('a')).rejects.toMatchObject({ code: 'UNREACHABLE' });
    const controller = new AbortController();
    const stalled = store.get('a', { signal: controller.signal });
    await faulty.until(() => faulty.stalledCalls === 1);
    controller.abort();
    await expect(stalled).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(store.get('a')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});
