import { beforeEach, describe, expect, it } from '@jest/globals';
import { MemoryStore } from '../../lib/store/memory-store.js';
import type { PutOptions } from '../../lib/store/object-store.js';
import { pacing } from '../../lib/store/pacing.js';
import { ManualClock } from '../helpers/manual-clock.js';
import { objectStoreSuite } from '../suites/object-store.suite.js';

objectStoreSuite('a paced memory store', async () => ({
  store: pacing(new MemoryStore(), { bytesPerSecond: 1e12, isPaced: () => false }),
}));

const PIECE = 100;

/** Sends a body in pieces, as a connection does, and remembers when each went. */
class PiecewiseStore extends MemoryStore {
  readonly sent: { readonly key: string; readonly sizeBytes: number; readonly atMs: number }[] = [];
  putsUnderWay = 0;
  mostPutsUnderWay = 0;

  constructor(private readonly clock: ManualClock) {
    super();
  }

  override async put(key: string, bytes: Uint8Array, { pace, ...options }: PutOptions = {}): Promise<void> {
    this.putsUnderWay += 1;
    this.mostPutsUnderWay = Math.max(this.mostPutsUnderWay, this.putsUnderWay);
    try {
      for (let at = 0; at < bytes.length; at += PIECE) {
        const sizeBytes = Math.min(PIECE, bytes.length - at);
        await pace?.(sizeBytes, options.signal);
        this.sent.push({ key, sizeBytes, atMs: this.clock.nowMs() });
      }
      await super.put(key, bytes, options);
    } finally {
      this.putsUnderWay -= 1;
    }
  }

  sentBytesUntil(atMs: number): number {
    return this.sent.filter((piece) => piece.atMs <= atMs).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }
}

let clock: ManualClock;
let inner: PiecewiseStore;
let store: ReturnType<typeof pacing>;
beforeEach(() => {
  clock = new ManualClock();
  inner = new PiecewiseStore(clock);
  store = pacing(inner, { bytesPerSecond: 1000, isPaced: (key) => key.startsWith('paced/'), clock });
});

const putMany = (count: number, sizeBytes: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, (_, n) => store.put(`paced/${n}`, Buffer.alloc(sizeBytes, n))));

describe('the pacing decorator', () => {
  // S49
  it('keeps the rate over all puts together, from the first piece on', async () => {
    await clock.runUntilSettled(putMany(5, 1000));
    // A tenth of a second is saved, and the piece that uses it up may be whole.
    for (const { atMs } of inner.sent) expect(inner.sentBytesUntil(atMs)).toBeLessThanOrEqual(atMs + 100 + PIECE);
    expect(inner.sentBytesUntil(Infinity)).toBe(5000);
    expect(clock.nowMs()).toBeGreaterThanOrEqual(4700);
    expect(clock.nowMs()).toBeLessThanOrEqual(5000);
  });

  it('has two puts under way, in the order of their calls', async () => {
    await clock.runUntilSettled(putMany(5, 1000));
    expect(inner.mostPutsUnderWay).toBe(2);
    const firstPieces = [...new Set(inner.sent.map(({ key }) => key))];
    expect(firstPieces).toEqual(['paced/0', 'paced/1', 'paced/2', 'paced/3', 'paced/4']);
  });

  it('sends what is not paced at once, whatever waits', async () => {
    const waiting = putMany(5, 1000);
    await store.put('record', Buffer.alloc(10_000));
    expect(clock.nowMs()).toBe(0);
    expect((await store.get('record')).length).toBe(10_000);
    await clock.runUntilSettled(waiting);
  });

  it('lets go at once of who waits for a turn or for a place, and those behind go on', async () => {
    const controllers = [new AbortController(), new AbortController()];
    const [sending, , waiting] = [0, 1, 2].map((n) => {
      const put = store.put(`paced/${n}`, Buffer.alloc(1000), { signal: controllers[n === 2 ? 1 : n]?.signal });
      return put.then(
        () => 'done',
        (error: unknown) => error,
      );
    });
    const last = store.put('paced/last', Buffer.alloc(1000));
    await new Promise((resolve) => setImmediate(resolve));
    for (const controller of controllers) controller.abort();
    await expect(sending).resolves.toMatchObject({ code: 'ABORTED' });
    await expect(waiting).resolves.toMatchObject({ code: 'ABORTED' });
    expect(clock.nowMs()).toBe(0);
    await clock.runUntilSettled(last);
    expect((await inner.list('paced/')).objects.map(({ key }) => key)).toEqual(['paced/last']);
    expect(clock.pendingTimers).toBe(0);
  });
});
