/**
 * Which snapshots of an image a policy keeps, and why. Pure: facts in, reasons out; nothing is deleted here.
 *
 * The rules are restic's. Each counted rule goes from the newest snapshot to the oldest and keeps the newest one of each of the last N
 * hours, days, … that have any; when there are fewer than N, the oldest snapshot is kept too, so that a long rule begins to
 * have something old. `within` counts from the newest snapshot and not from now: an image that nobody writes any more keeps what it has.
 * A snapshot that no rule keeps is forgotten. Newest is who has the highest number; times are those of the records, in
 * UTC, so every host decides alike.
 *
 * Kept whatever the policy says: the newest snapshot, the base of whoever holds the lock, one whose record can't be read, and
 * what a tag leads to. With `untag`, only the tags that the policy names keep theirs.
 */

export const PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Period = (typeof PERIODS)[number];

/** How many of each to keep; 0: the rule is not used; Infinity: all. */
export interface RetentionPolicy extends Readonly<Record<Period, number>> {
  readonly last: number;
  /** null: the rule is not used. */
  readonly withinMs: number | null;
  /** Names of tags that keep their snapshots also with `untag`. */
  readonly tags: readonly string[];
  readonly untag: boolean;
}

/** What is known of a snapshot. */
export interface Candidate {
  readonly number: number;
  /** null: its record can't be read. */
  readonly timeMs: number | null;
  readonly tags: readonly string[];
  /** Whether a lock names it. */
  readonly isBase: boolean;
}

export type Reason =
  | { readonly kind: 'newest' | 'base' | 'unreadable' | 'last' | 'within' | 'tag' }
  | { readonly kind: Period; readonly oldest: boolean };

export interface Decision {
  readonly number: number;
  /** Why it is kept; empty: it is forgotten. */
  readonly reasons: readonly Reason[];
}

/** Whether the policy has a rule at all; one without forgets everything that nothing else keeps, which nobody means. */
export function hasRule({ last, withinMs, tags, ...periods }: RetentionPolicy): boolean {
  return last > 0 || withinMs !== null || tags.length > 0 || PERIODS.some((period) => periods[period] > 0);
}

/** One decision for each candidate, by ascending number. */
export function decideRetention(candidates: readonly Candidate[], policy: RetentionPolicy): Decision[] {
  const reasons = new Map(candidates.map((candidate) => [candidate.number, alwaysKept(candidate, policy)]));
  const keep = ({ number }: Candidate, reason: Reason): void => {
    reasons.get(number)?.push(reason);
  };
  const newestFirst = [...candidates].sort((a, b) => b.number - a.number);
  const [newest] = newestFirst;
  if (newest !== undefined) keep(newest, { kind: 'newest' });
  const timed = newestFirst.filter((candidate): candidate is Timed => candidate.timeMs !== null);
  timed.slice(0, policy.last).forEach((candidate) => {
    keep(candidate, { kind: 'last' });
  });
  for (const candidate of inside(timed, policy.withinMs)) keep(candidate, { kind: 'within' });
  for (const period of PERIODS) {
    for (const { candidate, oldest } of onePerPeriod(timed, period, policy[period])) {
      keep(candidate, { kind: period, oldest });
    }
  }
  return newestFirst.reverse().map(({ number }) => ({ number, reasons: reasons.get(number) ?? [] }));
}

type Timed = Candidate & { readonly timeMs: number };

function alwaysKept({ timeMs, tags, isBase }: Candidate, policy: RetentionPolicy): Reason[] {
  const isTagged = policy.untag ? tags.some((tag) => policy.tags.includes(tag)) : tags.length > 0;
  return [
    ...(isBase ? [{ kind: 'base' } as const] : []),
    ...(timeMs === null ? [{ kind: 'unreadable' } as const] : []),
    ...(isTagged ? [{ kind: 'tag' } as const] : []),
  ];
}

function inside(newestFirst: readonly Timed[], withinMs: number | null): readonly Timed[] {
  const [newest] = newestFirst;
  if (newest === undefined || withinMs === null) return [];
  return newestFirst.filter(({ timeMs }) => timeMs >= newest.timeMs - withinMs);
}

/** The newest of each of the last `count` periods; with fewer of them, the oldest snapshot of all too. */
function onePerPeriod(
  newestFirst: readonly Timed[],
  period: Period,
  count: number,
): { candidate: Timed; oldest: boolean }[] {
  const kept: { candidate: Timed; oldest: boolean }[] = [];
  const seen = new Set<string>();
  for (const [index, candidate] of newestFirst.entries()) {
    if (kept.length >= count) break;
    const name = periodOf(candidate.timeMs, period);
    const isNew = !seen.has(name);
    if (isNew || index === newestFirst.length - 1) kept.push({ candidate, oldest: !isNew });
    seen.add(name);
  }
  return kept;
}

/** A name that all moments of one period share. */
export function periodOf(timeMs: number, period: Period): string {
  const text = new Date(timeMs).toISOString();
  switch (period) {
    case 'hourly':
      return text.slice(0, -'mm:ss.sssZ'.length);
    case 'daily':
      return text.slice(0, -'Thh:mm:ss.sssZ'.length);
    case 'weekly':
      return String(weekOf(timeMs));
    case 'monthly':
      return text.slice(0, -'-ddThh:mm:ss.sssZ'.length);
    case 'yearly':
      return text.slice(0, -'-mm-ddThh:mm:ss.sssZ'.length);
  }
}

const DAY_MS = 86_400_000;
/** 1970-01-05 was the first Monday. */
const FIRST_MONDAY_MS = 4 * DAY_MS;

/** Weeks begin on Mondays, as ISO 8601 has it, and do not care for years. */
function weekOf(timeMs: number): number {
  return Math.floor((timeMs - FIRST_MONDAY_MS) / (7 * DAY_MS));
}
