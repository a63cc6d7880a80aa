/**
 * What a supervisor does when its daemon has died: the decision alone.
 *
 * A daemon that lived for a while is followed at once by the next. One that died quickly, again and again, may have met a
 * request that kills it: from the third quick death on, the next daemon answers EIO to what is sent again, and serves the
 * rest. If that does not help either, it is given up: requests fail rather than hang. Deaths that were asked for (a restart)
 * do not count.
 */

/** A daemon that served for less than this has died quickly: what kills daemons is sent again before anything else. */
export const QUICK_DEATH_MS = 1000;
/** From this quick death in a row on, requests that are sent again are refused. */
export const REFUSE_AFTER = 3;
/** At this quick death in a row, no other daemon is started. */
export const GIVE_UP_AFTER = 6;
/** The wait before the first start that is not at once; it doubles. What is missing may come back: room, a lock. */
const FIRST_DELAY_MS = 250;

/** What becomes of requests that a dead daemon had taken: they are served, or they get EIO. */
export type Resent = 'serve' | 'refuse';

export interface Death {
  /** From when the mount was served to the end of the process; 0 when it was never served. */
  readonly servedMs: number;
  /** It was ended to make room for the next. */
  readonly asked: boolean;
}

export type Succession =
  | { readonly kind: 'start'; readonly quickDeaths: number; readonly resent: Resent; readonly delayMs: number }
  | { readonly kind: 'give-up'; readonly quickDeaths: number };

/** `quickDeaths`: those in a row before this one. */
export function afterDeath(quickDeaths: number, { servedMs, asked }: Death): Succession {
  if (asked || servedMs >= QUICK_DEATH_MS) return { kind: 'start', quickDeaths: 0, resent: 'serve', delayMs: 0 };
  const quick = quickDeaths + 1;
  if (quick >= GIVE_UP_AFTER) return { kind: 'give-up', quickDeaths: quick };
  if (quick < REFUSE_AFTER) return { kind: 'start', quickDeaths: quick, resent: 'serve', delayMs: 0 };
  return { kind: 'start', quickDeaths: quick, resent: 'refuse', delayMs: FIRST_DELAY_MS * 2 ** (quick - REFUSE_AFTER) };
}
