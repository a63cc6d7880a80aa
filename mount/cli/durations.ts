/** Durations as people write and read them: a number and one unit. */
import { LazydiskError } from '../../lib/util/errors.js';

const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const DURATION = /^(\d{1,9})(ms|[smhd])$/;

/** Milliseconds of `7d`, `12h`, `90m`, `30s`, `500ms`. `option` names the option in the error (USAGE). */
export function parseDuration(text: string, option: string): number {
  const [, count, unit] = DURATION.exec(text.trim()) ?? [];
  if (count !== undefined && unit !== undefined) return Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS];
  throw new LazydiskError(
    'USAGE',
    `${option} takes a duration such as 7d, 12h, 90m, 30s or 500ms, not ${JSON.stringify(text)}.`,
  );
}
