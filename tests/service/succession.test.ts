import { expect, test } from '@jest/globals';
import {
  afterDeath,
  GIVE_UP_AFTER,
  QUICK_DEATH_MS,
  REFUSE_AFTER,
  type Succession,
} from '../../mount/service/succession.js';

/** What follows each of `count` deaths in a row, each after so long a service. */
function lineage(count: number, servedMs: number, asked = false): Succession[] {
  let quickDeaths = 0;
  return Array.from({ length: count }, () => {
    const next = afterDeath(quickDeaths, { servedMs, asked });
    ({ quickDeaths } = next);
    return next;
  });
}

test('a daemon that served for a while is followed at once, however often', () => {
  for (const next of lineage(100, QUICK_DEATH_MS)) {
    expect(next).toEqual({ kind: 'start', quickDeaths: 0, resent: 'serve', delayMs: 0 });
  }
});

test('deaths that were asked for do not count', () => {
  for (const next of lineage(100, 0, true)) expect(next).toMatchObject({ kind: 'start', delayMs: 0 });
  expect(afterDeath(GIVE_UP_AFTER - 1, { servedMs: 0, asked: true })).toMatchObject({ kind: 'start', quickDeaths: 0 });
});

test('quick deaths in a row: requests are served again, then refused, then no daemon is started any more', () => {
  const kinds = lineage(GIVE_UP_AFTER, QUICK_DEATH_MS - 1).map((next) =>
    next.kind === 'start' ? next.resent : next.kind,
  );
  expect(kinds).toEqual(['serve', 'serve', 'refuse', 'refuse', 'refuse', 'give-up']);
  expect(kinds.indexOf('refuse')).toBe(REFUSE_AFTER - 1);
});

test('the waits between quick deaths are within two seconds in all', () => {
  const waits = lineage(GIVE_UP_AFTER, 0).map((next) => (next.kind === 'start' ? next.delayMs : 0));
  expect(waits).toEqual([0, 0, 250, 500, 1000, 0]);
});

test('a daemon that lives long makes up for the quick deaths before it', () => {
  expect(afterDeath(GIVE_UP_AFTER - 1, { servedMs: QUICK_DEATH_MS, asked: false })).toMatchObject({ quickDeaths: 0 });
});
