import { describe, expect, test } from '@jest/globals';
import { RateLimit } from '../../lib/util/rate-limit.js';

describe('RateLimit', () => {
  test('what is taken is paid for before the next may be taken', () => {
    const limit = new RateLimit(1000);
    expect(limit.waitMs(0)).toBe(0);
    limit.take(600, 0); // 100 were saved
    expect(limit.waitMs(0)).toBe(500);
    expect(limit.waitMs(400)).toBe(100);
    expect(limit.waitMs(500)).toBe(0);
  });

  test('nothing is saved up over a pause', () => {
    const limit = new RateLimit(1000);
    limit.take(100, 0);
    limit.take(600, 1_000_000);
    expect(limit.waitMs(1_000_000)).toBe(500);
  });

  test('over a long time the rate is kept', () => {
    const limit = new RateLimit(1000);
    let taken = 0;
    for (let nowMs = 0; nowMs < 100_000; nowMs++) {
      if (limit.waitMs(nowMs) > 0) continue;
      limit.take(777, nowMs);
      taken += 777;
    }
    expect(taken).toBeGreaterThan(99_000);
    expect(taken).toBeLessThan(101_000);
  });

  test('without a limit nothing waits', () => {
    const limit = new RateLimit(null);
    limit.take(1e12, 0);
    expect(limit.waitMs(0)).toBe(0);
  });
});
