import { expect, test } from '@jest/globals';
import {
  afterDeath,
  GIVE_UP_AFTER,
  GIVE_UP_AFTER_STARTS,
  NO_LINEAGE,
  QUICK_DEATH_MS,
  REFUSE_AFTER,
  type Death,
  type Succession,
} from '../../mount/service/succession.js';

const QUICK: Death = { servedMs: 0, asked: false, couldNotBegin: false };

/** What follows each of `count` deaths in a row of the same kind. */
function following(count: number, death: Death, before = NO_LINEAGE): Succession[] {
  let lineage = before;
  return Array.from({ length: count }, () => {
    const next = afterDeath(lineage, death);
    ({ lineage } = next);
    return next;
  });
}

const kindsOf = (all: readonly Succession[]): string[] =>
  all.map((next) => (next.kind === 'start' ? next.resent : next.kind));
const waitsOf = (all: readonly Succession[]): number[] => all.map((next) => (next.kind === 'start' ? next.delayMs : 0));

test('a daemon that served for a while is followed at once, however often', () => {
  for (const next of following(100, { ...QUICK, servedMs: QUICK_DEATH_MS })) {
    expect(next).toEqual({ kind: 'start', lineage: NO_LINEAGE, resent: 'serve', delayMs: 0 });
  }
});

test('deaths that were asked for do not count', () => {
  const asked = { ...QUICK, asked: true };
  for (const next of following(100, asked)) expect(next).toMatchObject({ kind: 'start', delayMs: 0 });
  const last = { quickDeaths: GIVE_UP_AFTER - 1, failedStarts: 0 };
  expect(afterDeath(last, asked)).toMatchObject({ kind: 'start', lineage: NO_LINEAGE });
});

test('quick deaths in a row: requests are served again, then refused, then no daemon is started any more', () => {
  const kinds = kindsOf(following(GIVE_UP_AFTER, { ...QUICK, servedMs: QUICK_DEATH_MS - 1 }));
  expect(kinds).toEqual(['serve', 'serve', 'refuse', 'refuse', 'refuse', 'give-up']);
  expect(kinds.indexOf('refuse')).toBe(REFUSE_AFTER - 1);
});

test('the waits between quick deaths are within two seconds in all', () => {
  expect(waitsOf(following(GIVE_UP_AFTER, QUICK))).toEqual([0, 0, 250, 500, 1000, 0]);
});

test('a daemon that says why it can’t begin is followed for about a minute, and no request is refused for it', () => {
  const all = following(GIVE_UP_AFTER_STARTS, { ...QUICK, couldNotBegin: true });
  expect(kindsOf(all)).toEqual([...Array<string>(GIVE_UP_AFTER_STARTS - 1).fill('serve'), 'give-up']);
  const waits = waitsOf(all);
  expect(Math.max(...waits)).toBe(8000);
  expect(waits.reduce((sum, wait) => sum + wait, 0)).toBe(55_750);
});

test('starts that fail do not make up for quick deaths, and quick deaths do for them', () => {
  const [, , , , killed] = following(5, QUICK);
  expect(afterDeath(killed!.lineage, { ...QUICK, couldNotBegin: true })).toMatchObject({
    resent: 'refuse',
    lineage: { quickDeaths: 5, failedStarts: 1 },
  });
  expect(afterDeath({ quickDeaths: 0, failedStarts: 11 }, QUICK)).toMatchObject({
    lineage: { quickDeaths: 1, failedStarts: 0 },
  });
});

test('a daemon that lives long makes up for the quick deaths before it', () => {
  const last = { quickDeaths: GIVE_UP_AFTER - 1, failedStarts: GIVE_UP_AFTER_STARTS - 1 };
  expect(afterDeath(last, { ...QUICK, servedMs: QUICK_DEATH_MS })).toMatchObject({ lineage: NO_LINEAGE });
});
