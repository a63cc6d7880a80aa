/** What `lazydisk doctor` finds: one fact, how good it is, and what to do when it is not. */
import { messageOf } from '../../../lib/util/errors.js';
import { table } from '../output.js';

export interface Finding {
  /** What was looked at, in a word or two. */
  readonly check: string;
  /** `warn`: it works, with a limit that `advice` tells of. `fail`: it will not work. */
  readonly outcome: 'ok' | 'warn' | 'fail';
  readonly found: string;
  /** null when there is nothing to do. */
  readonly advice: string | null;
}

export function ok(check: string, found: string): Finding {
  return { check, outcome: 'ok', found, advice: null };
}

export function warn(check: string, found: string, advice: string): Finding {
  return { check, outcome: 'warn', found, advice };
}

export function fail(check: string, found: string, advice: string): Finding {
  return { check, outcome: 'fail', found, advice };
}

/** Of an error: its one sentence says what to do, too. */
export function failed(check: string, error: unknown): Finding {
  return { check, outcome: 'fail', found: messageOf(error), advice: null };
}

/** A line for each, and below it what to do. */
export function spoken(findings: readonly Finding[]): string {
  const rows = table(findings.map(({ outcome, check, found }) => [outcome, check, found])).split('\n');
  return rows
    .flatMap((row, at) => {
      const advice = findings[at]?.advice ?? null;
      return advice === null ? [row] : [row, `      ${advice}`];
    })
    .join('\n');
}
