import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  decideRetention,
  hasRule,
  periodOf,
  PERIODS,
  type Candidate,
  type Decision,
  type Period,
  type RetentionPolicy,
} from '../../lib/repository/retention.js';

const NONE: RetentionPolicy = {
  last: 0,
  hourly: 0,
  daily: 0,
  weekly: 0,
  monthly: 0,
  yearly: 0,
  withinMs: null,
  tags: [],
  untag: false,
};

function at(number: number, time: string, change: Partial<Candidate> = {}): Candidate {
  return { number, timeMs: Date.parse(time), tags: [], isBase: false, ...change };
}

const keptBy = (decisions: readonly Decision[], kind: string): number[] =>
  decisions.filter(({ reasons }) => reasons.some((reason) => reason.kind === kind)).map(({ number }) => number);
const kept = (decisions: readonly Decision[]): number[] =>
  decisions.filter(({ reasons }) => reasons.length > 0).map(({ number }) => number);

const counts = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.constant(Infinity));
const policies: fc.Arbitrary<RetentionPolicy> = fc.record({
  last: counts,
  hourly: counts,
  daily: counts,
  weekly: counts,
  monthly: counts,
  yearly: counts,
  withinMs: fc.option(fc.integer({ min: 0, max: 90 * 86_400_000 })),
  tags: fc.subarray(['stable', 'old']),
  untag: fc.boolean(),
});
/** Snapshots hours, days or months apart; clocks of writers may be wrong, so times need not ascend. */
const histories: fc.Arbitrary<Candidate[]> = fc
  .array(
    fc.record({
      gapMs: fc.oneof(
        fc.integer({ min: -3_600_000, max: 7_200_000 }),
        fc.integer({ min: 0, max: 3 * 86_400_000 }),
        fc.integer({ min: 0, max: 70 * 86_400_000 }),
      ),
      readable: fc.integer({ min: 0, max: 9 }).map((one) => one > 0),
      tags: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, fc.subarray(['stable', 'old', 'v1'])),
      isBase: fc.integer({ min: 0, max: 9 }).map((one) => one === 0),
    }),
    { maxLength: 30 },
  )
  .map((steps) => {
    let timeMs = Date.parse('2025-12-20T22:00:00Z');
    return steps.map(({ gapMs, readable, tags, isBase }, index) => {
      timeMs += gapMs;
      return { number: 2 * index + 1, timeMs: readable ? timeMs : null, tags, isBase };
    });
  });

// S61
describe('any policy over any history', () => {
  test('decides every snapshot once, in order, and keeps the newest, bases, what is tagged and what is unreadable', () => {
    fc.assert(
      fc.property(histories, policies, (history, policy) => {
        const decisions = decideRetention(history, policy);
        expect(decisions.map(({ number }) => number)).toEqual(history.map(({ number }) => number));
        const stays = new Set(kept(decisions));
        for (const { number, timeMs, tags, isBase } of history) {
          const isTagged = policy.untag ? tags.some((tag) => policy.tags.includes(tag)) : tags.length > 0;
          if (isBase || timeMs === null || isTagged || number === history.at(-1)?.number) {
            expect(stays.has(number)).toBe(true);
          }
        }
      }),
    );
  });

  test('keeps by each counted rule at most N, no two of one period but the oldest, and always the newest of a period', () => {
    fc.assert(
      fc.property(histories, policies, fc.constantFrom(...PERIODS), (history, policy, period) => {
        const decisions = decideRetention(history, policy);
        const numbers = keptBy(decisions, period);
        expect(numbers.length).toBeLessThanOrEqual(policy[period]);
        const timed = history.filter(({ timeMs }) => timeMs !== null);
        const nameOf = ({ timeMs }: Candidate): string => periodOf(timeMs ?? 0, period);
        for (const candidate of timed.filter(({ number }) => numbers.includes(number))) {
          const later = timed.filter((one) => one.number > candidate.number && nameOf(one) === nameOf(candidate));
          if (later.length > 0) expect(candidate.number).toBe(timed[0]?.number);
        }
        // Fewer than N are kept only when there are no more periods.
        const periods = new Set(timed.map(nameOf)).size;
        expect(numbers.length).toBeGreaterThanOrEqual(Math.min(policy[period], periods));
      }),
    );
  });

  test('keeps the N newest by --keep-last, and by --keep-within what is near the newest', () => {
    fc.assert(
      fc.property(histories, policies, (history, policy) => {
        const decisions = decideRetention(history, policy);
        const timed = history.filter(({ timeMs }) => timeMs !== null);
        const newest = timed.at(-1);
        expect(keptBy(decisions, 'last')).toEqual(
          timed.slice(Math.max(0, timed.length - policy.last)).map(({ number }) => number),
        );
        const near = timed.filter(
          ({ timeMs }) => policy.withinMs !== null && timeMs! >= newest!.timeMs! - policy.withinMs,
        );
        expect(keptBy(decisions, 'within')).toEqual(near.map(({ number }) => number));
      }),
    );
  });

  test('forgets nothing more when it is applied again to what it kept', () => {
    fc.assert(
      fc.property(histories, policies, (history, policy) => {
        const first = kept(decideRetention(history, policy));
        const rest = history.filter(({ number }) => first.includes(number));
        expect(kept(decideRetention(rest, policy))).toEqual(first);
      }),
    );
  });

  test('keeps no less when a rule is added or made larger', () => {
    const larger = fc.tuple(fc.constantFrom<'last' | Period>('last', ...PERIODS), fc.integer({ min: 1, max: 5 }));
    fc.assert(
      fc.property(histories, policies, larger, (history, policy, [rule, more]) => {
        const before = kept(decideRetention(history, policy));
        const after = kept(decideRetention(history, { ...policy, [rule]: policy[rule] + more }));
        expect(after).toEqual(expect.arrayContaining(before));
      }),
    );
  });
});

describe('periods', () => {
  test.each<[Period, string, string, boolean]>([
    ['hourly', '2026-03-01T10:00:00Z', '2026-03-01T10:59:59.999Z', true],
    ['hourly', '2026-03-01T10:59:59Z', '2026-03-01T11:00:00Z', false],
    ['hourly', '2026-03-01T10:00:00Z', '2026-03-02T10:00:00Z', false],
    ['daily', '2026-03-01T00:00:00Z', '2026-03-01T23:59:59Z', true],
    ['daily', '2026-02-28T23:59:59Z', '2026-03-01T00:00:00Z', false],
    // 2025-12-29 was a Monday: that week lies in two years.
    ['weekly', '2025-12-29T00:00:00Z', '2026-01-04T23:59:59Z', true],
    ['weekly', '2026-01-04T23:59:59Z', '2026-01-05T00:00:00Z', false],
    ['monthly', '2026-01-01T00:00:00Z', '2026-01-31T23:59:59Z', true],
    ['monthly', '2025-01-31T00:00:00Z', '2026-01-31T00:00:00Z', false],
    ['yearly', '2026-01-01T00:00:00Z', '2026-12-31T23:59:59Z', true],
    ['yearly', '2025-12-31T23:59:59Z', '2026-01-01T00:00:00Z', false],
    ['yearly', '1969-12-31T23:59:59Z', '1970-01-01T00:00:00Z', false],
    ['weekly', '1970-01-04T23:59:59Z', '1970-01-05T00:00:00Z', false],
  ])('%s: %s and %s are the same: %p', (period, one, other, same) => {
    expect(periodOf(Date.parse(one), period) === periodOf(Date.parse(other), period)).toBe(same);
  });
});

test('of three snapshots a day for ten days, seven days and three weeks keep one each', () => {
  const history = Array.from({ length: 30 }, (_, index) =>
    at(
      index + 1,
      `2026-03-${String(Math.floor(index / 3) + 1).padStart(2, '0')}T${['06', '12', '18'][index % 3]!}:00:00Z`,
    ),
  );
  const decisions = decideRetention(history, { ...NONE, daily: 7, weekly: 3 });
  // The 1st was a Sunday: three weeks have snapshots, 23 February to 1 March, 2 to 8, and 9 to 10.
  expect(keptBy(decisions, 'daily')).toEqual([12, 15, 18, 21, 24, 27, 30]);
  expect(keptBy(decisions, 'weekly')).toEqual([3, 24, 30]);
  expect(kept(decisions)).toEqual([3, 12, 15, 18, 21, 24, 27, 30]);
});

test('while there are fewer days than asked for, the oldest snapshot stays', () => {
  const history = [
    at(1, '2026-03-01T06:00:00Z'),
    at(2, '2026-03-01T12:00:00Z'),
    at(3, '2026-03-01T18:00:00Z'),
    at(4, '2026-03-02T06:00:00Z'),
  ];
  const decisions = decideRetention(history, { ...NONE, daily: 3 });
  expect(decisions.map(({ reasons }) => reasons.filter(({ kind }) => kind === 'daily'))).toEqual([
    [{ kind: 'daily', oldest: true }],
    [],
    [{ kind: 'daily', oldest: false }],
    [{ kind: 'daily', oldest: false }],
  ]);
  expect(kept(decideRetention(history, { ...NONE, daily: 2 }))).toEqual([3, 4]);
});

test.each([
  [{}, false],
  [{ untag: true }, false],
  [{ last: 1 }, true],
  [{ yearly: Infinity }, true],
  [{ withinMs: 0 }, true],
  [{ tags: ['stable'] }, true],
])('a policy with %p has a rule: %p', (change, expected) => {
  expect(hasRule({ ...NONE, ...change })).toBe(expected);
});
