/** The order of fetches. */
import type { FetchPriority } from './api.js';

/** The most urgent first. */
export const PRIORITIES: readonly FetchPriority[] = ['demand', 'readahead', 'prefetch', 'fill'];

/** Larger is more urgent. */
export const URGENCY: Readonly<Record<FetchPriority, number>> = { demand: 3, readahead: 2, prefetch: 1, fill: 0 };

/** Whether `a` goes before `b`. */
export function isMoreUrgent(a: FetchPriority, b: FetchPriority): boolean {
  return URGENCY[a] > URGENCY[b];
}
