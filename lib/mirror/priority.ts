/** The order of fetches. */
import type { FetchPriority } from './api.js';

/** The most urgent first. */
export const PRIORITIES: readonly FetchPriority[] = ['demand', 'readahead', 'prefetch', 'eager', 'fill'];

/** Larger is more urgent. */
export const URGENCY: Readonly<Record<FetchPriority, number>> = {
  demand: 4,
  readahead: 3,
  prefetch: 2,
  eager: 1,
  fill: 0,
};

/** Whether `a` goes before `b`. */
export function isMoreUrgent(a: FetchPriority, b: FetchPriority): boolean {
  return URGENCY[a] > URGENCY[b];
}

/** Whether a fetch is bound by the rate of the fill. */
export function isPaced(priority: FetchPriority): boolean {
  return priority === 'eager' || priority === 'fill';
}
