/**
 * What a supervisor does when its daemon has died: the decision alone.
 *
 * A daemon that lived for a while is followed at once by the next. One that died quickly, again and again, may have met a
 * request that kills it: from the third quick death on, the next daemon answers EIO to what is sent again, and serves the
 * rest. If that does not help either, it is given up: requests fail rather than hang. Deaths that were asked for (a restart)
 * do not count.
 *
 * A daemon that says why it can't begin (the disk of the state directory is full, its lock is still held) was not killed by
 * a request, and what it lacks may come back: it is followed for about a minute, with growing waits.
 */

/** A daemon that served for less than this has died quickly: what kills daemons is sent again before anything else. */
export const QUICK_DEATH_MS = 1000;
/** From this quick death in a row on, requests that are sent again are refused. */
export const REFUSE_AFTER = 3;
/** At this quick death in a row, no other daemon is started. */
export const GIVE_UP_AFTER = 6;
/** At this start in a row that failed, no other daemon is started. */
export const GIVE_UP_AFTER_STARTS = 12;
/** The wait before the first start that is not at once; it doubles. */
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 8000;

/** What becomes of requests that a dead daemon had taken: they are served, or they get EIO. */
export type Resent = 'serve' | 'refuse';

export interface Death {
  /** From when the mount was served to the end of the process; 0 when it was never served. */
  readonly servedMs: number;
  /** It was ended to make room for the next. */
  readonly asked: boolean;
  /** It has said why it could not begin. */
  readonly couldNotBegin: boolean;
}

/** How the daemons before this one ended. */
export interface Lineage {
  /** Quick deaths in a row. */
  readonly quickDeaths: number;
  /** Starts in a row that failed. */
  readonly failedStarts: number;
}

export const NO_LINEAGE: Lineage = { quickDeaths: 0, failedStarts: 0 };

export type Succession =
  | { readonly kind: 'start'; readonly lineage: Lineage; readonly resent: Resent; readonly delayMs: number }
  | { readonly kind: 'give-up'; readonly lineage: Lineage };

/** `lineage`: without this death. */
export function afterDeath(lineage: Lineage, { servedMs, asked, couldNotBegin }: Death): Succession {
  if (asked || servedMs >= QUICK_DEATH_MS) return { kind: 'start', lineage: NO_LINEAGE, resent: 'serve', delayMs: 0 };
  const next: Lineage = couldNotBegin
    ? { ...lineage, failedStarts: lineage.failedStarts + 1 }
    : { quickDeaths: lineage.quickDeaths + 1, failedStarts: 0 };
  const { quickDeaths, failedStarts } = next;
  if (quickDeaths >= GIVE_UP_AFTER || failedStarts >= GIVE_UP_AFTER_STARTS) return { kind: 'give-up', lineage: next };
  const resent = quickDeaths >= REFUSE_AFTER ? 'refuse' : 'serve';
  if (couldNotBegin) return { kind: 'start', lineage: next, resent, delayMs: delayAfter(failedStarts) };
  return {
    kind: 'start',
    lineage: next,
    resent,
    delayMs: resent === 'serve' ? 0 : delayAfter(quickDeaths - REFUSE_AFTER + 1),
  };
}

/** `tries`: from 1 on. */
function delayAfter(tries: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** (tries - 1), LONGEST_DELAY_MS);
}
