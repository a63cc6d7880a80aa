import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FetchPriority } from '../../lib/mirror/api.js';
import { decideStart, type LinkLoad } from '../../lib/mirror/start-decision.js';

const KIB = 1024;
const MIB = 1024 * KIB;
const BOUNDS = { maxRequests: 8, maxRunBytes: 4 * MIB };

function load(facts: Partial<Omit<LinkLoad, 'waits'>> & { waiting?: readonly FetchPriority[] }): LinkLoad {
  const { waiting = [], ...rest } = facts;
  return {
    requests: 0,
    awaitedBytes: 0,
    windowBytes: MIB,
    mayFill: true,
    waits: (priority) => waiting.includes(priority),
    ...rest,
  };
}

describe('decideStart', () => {
  test('nothing starts when nobody waits', () => {
    expect(decideStart(load({}), BOUNDS)).toBeUndefined();
  });

  test('demand starts whatever is under way, up to the bound of requests', () => {
    const full = { awaitedBytes: 100 * MIB, waiting: ['demand', 'fill'] as const };
    expect(decideStart(load({ ...full, requests: 7 }), BOUNDS)).toMatchObject({ priority: 'demand' });
    expect(decideStart(load({ ...full, requests: 8 }), BOUNDS)).toBeUndefined();
  });

  test('what demand takes along is at most one run above the window', () => {
    const along = (awaitedBytes: number) =>
      decideStart(load({ awaitedBytes, waiting: ['demand'] }), BOUNDS)?.alongBytes;
    expect([0, MIB, MIB + 100 * KIB, 2 * MIB].map(along)).toEqual([256 * KIB, 256 * KIB, 156 * KIB, 0]);
  });

  test('the background starts while less than the window is to come, and leaves a quarter of the requests', () => {
    const some = (facts: Partial<LinkLoad>) => decideStart(load({ ...facts, waiting: ['prefetch'] }), BOUNDS);
    expect(some({ awaitedBytes: MIB - 1 })).toEqual({
      priority: 'prefetch',
      runBytes: 256 * KIB,
      alongBytes: 256 * KIB,
    });
    expect(some({ awaitedBytes: MIB })).toBeUndefined();
    expect(some({ requests: 5 })).toBeDefined();
    expect(some({ requests: 6 })).toBeUndefined();
  });

  test('readahead goes first, then prefetch, then fill, and fill only as its rate allows', () => {
    const first = (waiting: readonly FetchPriority[], mayFill = true) =>
      decideStart(load({ waiting, mayFill }), BOUNDS)?.priority;
    expect(first(['fill', 'prefetch', 'readahead'])).toBe('readahead');
    expect(first(['fill', 'prefetch'])).toBe('prefetch');
    expect(first(['fill'])).toBe('fill');
    expect(first(['fill'], false)).toBeUndefined();
    expect(first(['fill', 'prefetch'], false)).toBe('prefetch');
  });

  test('while demand waits nothing else starts, and a link is never left idle', () => {
    const priority = fc.constantFrom<FetchPriority>('demand', 'readahead', 'prefetch', 'fill');
    fc.assert(
      fc.property(
        fc.uniqueArray(priority, { minLength: 1 }),
        fc.nat(10),
        fc.nat(4 * MIB),
        fc.integer({ min: 64 * KIB, max: 64 * MIB }),
        fc.integer({ min: 2, max: 64 }),
        (waiting, requests, awaited, windowBytes, maxRequests) => {
          const awaitedBytes = requests === 0 ? 0 : awaited;
          const start = decideStart(load({ waiting, requests, awaitedBytes, windowBytes }), { ...BOUNDS, maxRequests });
          if (waiting.includes('demand')) expect(start?.priority ?? 'demand').toBe('demand');
          if (requests === 0) expect(start).toBeDefined();
          if (start === undefined) return;
          expect(requests).toBeLessThan(maxRequests);
          expect(start.runBytes).toBeLessThanOrEqual(BOUNDS.maxRunBytes);
          if (start.priority !== 'demand') expect(awaitedBytes).toBeLessThan(windowBytes);
        },
      ),
    );
  });
});
