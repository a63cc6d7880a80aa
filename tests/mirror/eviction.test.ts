import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ChunkReference } from '../../lib/format/references.js';
import { FIRST_SLOT, SLOT_UNKNOWN, type Lease, type Mirror, type SlotMap } from '../../lib/mirror/api.js';
import { CHUNK, TestPlace, bytesOf, holds, readChunk, wanted } from './fake-source.js';

let place: TestPlace;
beforeEach(async () => {
  place = await TestPlace.make();
});
afterEach(async () => {
  await place.remove();
});

/** A fence that passes when the test says so. */
class HeldFence {
  waiting: (() => void)[] = [];
  held = false;
  passed(): Promise<void> {
    return this.held ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve();
  }
  async reached(): Promise<void> {
    while (this.waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  let(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** Waits until eviction has brought the mirror down; fails by the time limit of the test if it never does. */
async function untilTrimmed(mirror: Mirror, bytes: number): Promise<void> {
  while (mirror.statistics().localBytes > bytes) await new Promise((resolve) => setImmediate(resolve));
}

describe('eviction', () => {
  test('between the clearing of the maps and the fence nothing of a slot is touched, and asking rescues it', async () => {
    const chunks = place.source.addSegment('s', 1, 2);
    const fence = new HeldFence();
    const mirror = await place.open({ fence });
    const map = mirror.createMap(CHUNK, 2);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    const slots = [...map.words].map((word) => word - FIRST_SLOT);
    fence.held = true;
    const freed = mirror.giveWay(2 * CHUNK);
    await fence.reached();
    expect([...map.words]).toEqual([SLOT_UNKNOWN, SLOT_UNKNOWN]);
    const bytes = Buffer.alloc(CHUNK);
    mirror.readSlot(CHUNK, slots[1]!, 0, bytes); // as a worker that loaded the old map
    expect(holds(bytes, 2)).toBe(true);
    const lease = await mirror.ensure(map, wanted(chunks.slice(0, 1)), 'demand');
    fence.held = false;
    fence.let();
    expect(await freed).toBe(CHUNK);
    expect(holds(readChunk(mirror, map, 0, lease), 1)).toBe(true);
    expect(map.words[1]).toBe(SLOT_UNKNOWN);
    lease.release();
    expect(place.source.requests).toHaveLength(1);
  });

  test('a fence that fails leaves every chunk where it is', async () => {
    const chunks = place.source.addSegment('s', 1, 2);
    let broken = false;
    const fence = { passed: async () => (broken ? Promise.reject(new Error('no workers')) : undefined) };
    const mirror = await place.open({ fence });
    const map = mirror.createMap(CHUNK, 2);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    broken = true;
    expect(await mirror.giveWay(CHUNK)).toBe(0);
    (await mirror.ensure(map, wanted(chunks), 'demand')).release();
    expect(holds(readChunk(mirror, map, 1), 2)).toBe(true);
    broken = false;
    expect(await mirror.giveWay(CHUNK)).toBe(CHUNK);
    expect(place.source.requests).toHaveLength(1);
  });

  test('what a lease holds stays, above the quota; after the release the mirror comes down to it', async () => {
    const chunks = place.source.addSegment('s', 1, 30);
    const mirror = await place.open({ quotaBytes: 8 * CHUNK });
    const map = mirror.createMap(CHUNK, 30);
    const lease = await mirror.ensure(map, wanted(chunks), 'demand');
    expect(mirror.statistics().localBytes).toBe(30 * CHUNK);
    expect(await mirror.giveWay(CHUNK)).toBe(0);
    for (let n = 0; n < 30; n++) expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
    lease.release();
    await untilTrimmed(mirror, 8 * CHUNK);
    expect(mirror.statistics().localBytes).toBe(8 * CHUNK);
    lease.release();
  });

  test('the clock spares what is read', async () => {
    const chunks = place.source.addSegment('s', 1, 40);
    const mirror = await place.open({ quotaBytes: 8 * CHUNK });
    const map = mirror.createMap(CHUNK, 40);
    for (let n = 0; n < 40; n++) {
      (await mirror.ensure(map, wanted(chunks.slice(n, n + 1), n), 'demand')).release();
      if (n > 0) readChunk(mirror, map, 0);
    }
    expect(holds(readChunk(mirror, map, 0), 1)).toBe(true);
    expect(place.source.requests).toHaveLength(40);
  });

  test('a scan does not empty the mirror of what was opened twice', async () => {
    const boot = place.source.addSegment('boot', 1, 12);
    const scan = place.source.addSegment('scan', 100, 100);
    const mirror = await place.open({ quotaBytes: 20 * CHUNK });
    for (let open = 0; open < 2; open++) {
      const map = mirror.createMap(CHUNK, 12);
      await mirror.publishLocal(map, wanted(boot));
      (await mirror.ensure(map, wanted(boot), 'demand')).release();
      for (let n = 0; n < 12; n++) readChunk(mirror, map, n);
    }
    const scanned = mirror.createMap(CHUNK, 100);
    for (let n = 0; n < 100; n++) {
      (await mirror.ensure(scanned, wanted(scan.slice(n, n + 1), n), 'demand')).release();
      readChunk(mirror, scanned, n);
    }
    expect(mirror.statistics().evictedChunks).toBeGreaterThanOrEqual(92);
    const requests = place.source.requests.length;
    const map = mirror.createMap(CHUNK, 12);
    (await mirror.ensure(map, wanted(boot), 'demand')).release();
    expect(place.source.requests).toHaveLength(requests);
  });

  test('a chunk that is fetched again soon after it has left is spared by a scan', async () => {
    const [again] = place.source.addSegment('again', 1, 1);
    const scan = place.source.addSegment('scan', 100, 100);
    const mirror = await place.open({ quotaBytes: 12 * CHUNK });
    const map = mirror.createMap(CHUNK, 101);
    const scanUntil = async (from: number, to: number) => {
      for (let n = from; n < to; n++) (await mirror.ensure(map, wanted([scan[n]!], n), 'demand')).release();
    };
    (await mirror.ensure(map, wanted([again!], 100), 'demand')).release();
    await scanUntil(0, 12);
    expect(map.words[100]).toBe(SLOT_UNKNOWN);
    (await mirror.ensure(map, wanted([again!], 100), 'demand')).release();
    await scanUntil(12, 100);
    expect(holds(readChunk(mirror, map, 100), 1)).toBe(true);
  });

  test('a record that can not be written does not stop the mirror, and nothing old is believed afterwards', async () => {
    const chunks = place.source.addSegment('s', 1, 12);
    const mirror = await place.open({ quotaBytes: 4 * CHUNK });
    const map = mirror.createMap(CHUNK, 12);
    (await mirror.ensure(map, wanted(chunks.slice(0, 4)), 'demand')).release();
    // The database is closed under the mirror: every write of the record fails from here on.
    const record = (mirror as unknown as { slots: { record: { database: { close(): Promise<void> } } } }).slots.record;
    await record.database.close();
    for (let n = 4; n < 12; n++) {
      const lease = await mirror.ensure(map, wanted(chunks.slice(n, n + 1), n), 'demand');
      expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
      lease.release();
    }
    expect(mirror.statistics().localBytes).toBeLessThanOrEqual(4 * CHUNK);
    await mirror.close();
    place.source.requests.length = 0;

    const again = await place.open();
    const other = again.createMap(CHUNK, 12);
    await again.publishLocal(other, wanted(chunks));
    expect([...other.words].every((word) => word === SLOT_UNKNOWN)).toBe(true);
    const lease = await again.ensure(other, wanted(chunks), 'demand');
    for (let n = 0; n < 12; n++) expect(holds(readChunk(again, other, n, lease), n + 1)).toBe(true);
    lease.release();
  });

  test('when neither record nor trust can be changed, nothing leaves and nothing is kept, and reads are answered', async () => {
    const chunks = place.source.addSegment('s', 1, 6);
    const mirror = await place.open({ quotaBytes: 4 * CHUNK });
    const map = mirror.createMap(CHUNK, 6);
    (await mirror.ensure(map, wanted(chunks.slice(0, 4)), 'demand')).release();
    const inside = mirror as unknown as {
      slots: { record: { database: { close(): Promise<void> }; marker: { remove(): void } } };
    };
    const { record } = inside.slots;
    await record.database.close();
    record.marker.remove = () => {
      throw new Error('read-only file system');
    };
    const lease = await mirror.ensure(map, wanted(chunks.slice(4), 4), 'demand');
    expect(lease.transient(5)).toBeDefined();
    expect(holds(readChunk(mirror, map, 5, lease), 6)).toBe(true);
    lease.release();
    expect(mirror.statistics().localBytes).toBe(4 * CHUNK);
    (await mirror.ensure(map, wanted(chunks.slice(0, 4)), 'demand')).release();
    for (let n = 0; n < 4; n++) expect(holds(readChunk(mirror, map, n), n + 1)).toBe(true);
    expect(place.source.requests).toHaveLength(2);
  });
});

describe('a quota smaller than the working set', () => {
  const CHUNKS = 24;

  test('every byte is right, whatever is asked, held, released and evicted in which order', async () => {
    const step = fc.record({
      what: fc.constantFrom('ensure', 'ensure', 'ensure', 'release', 'publish', 'give', 'insert', 'restart', 'read'),
      map: fc.nat(2),
      first: fc.nat(CHUNKS - 1),
      count: fc.integer({ min: 1, max: 8 }),
      waits: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), async (steps, quota) => {
        const own = await TestPlace.make();
        const source = own.source;
        const chunks: ChunkReference[] = [
          ...source.addSegment('a', 1, CHUNKS / 2),
          ...source.addSegment('b', 1 + CHUNKS / 2, CHUNKS / 2),
        ];
        let boot = 0;
        const open = async () =>
          own.open({
            quotaBytes: quota * CHUNK,
            bootId: `boot-${String(boot)}`,
            maxRequests: 3,
            maxBytesInFlight: 9 * CHUNK,
            fence: { passed: async () => new Promise((resolve) => setImmediate(resolve)) },
          });
        try {
          let mirror = await open();
          let maps: SlotMap[] = [0, 1, 2].map(() => mirror.createMap(CHUNK, CHUNKS));
          let held: { map: SlotMap; first: number; count: number; lease: Lease }[] = [];
          let pending: Promise<void>[] = [];

          const checkAll = () => {
            for (const map of maps) {
              for (let n = 0; n < CHUNKS; n++) {
                const bytes = readChunk(mirror, map, n);
                if (bytes !== undefined) expect(holds(bytes, n + 1)).toBe(true);
              }
            }
          };
          const checkHeld = () => {
            for (const { map, first, count, lease } of held) {
              for (let n = first; n < first + count; n++)
                expect(holds(readChunk(mirror, map, n, lease), n + 1)).toBe(true);
            }
          };
          const settle = async () => {
            await Promise.all(pending);
            pending = [];
          };

          for (const { what, map: m, first, count: asked, waits } of steps) {
            const count = Math.min(asked, CHUNKS - first);
            const map = maps[m]!;
            const some = wanted(chunks.slice(first, first + count), first);
            if (what === 'ensure') {
              const work = mirror.ensure(map, some, waits ? 'demand' : 'prefetch').then((lease) => {
                held.push({ map, first, count, lease });
              });
              if (waits) await work;
              else pending.push(work);
            } else if (what === 'release') {
              held.splice(first % Math.max(1, held.length), 1)[0]?.lease.release();
            } else if (what === 'publish') {
              await mirror.publishLocal(map, some);
            } else if (what === 'give') {
              pending.push(mirror.giveWay(count * CHUNK).then(() => undefined));
            } else if (what === 'insert') {
              pending.push(mirror.insert(chunks[first]!.id, bytesOf(first + 1)));
            } else if (what === 'read') {
              checkAll();
            } else {
              await settle();
              for (const { lease } of held) lease.release();
              held = [];
              await mirror.close();
              if (waits) boot++;
              mirror = await open();
              maps = [0, 1, 2].map(() => mirror.createMap(CHUNK, CHUNKS));
            }
            checkHeld();
          }
          await settle();
          checkHeld();
          for (const { lease } of held) lease.release();
          await untilTrimmed(mirror, quota * CHUNK);
          checkAll();
          expect(mirror.statistics().waitingFetches).toBe(0);
        } finally {
          await own.remove();
        }
      }),
      { numRuns: 60 },
    );
  });
});
