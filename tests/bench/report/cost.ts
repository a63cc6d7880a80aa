/**
 * What requests cost at a cloud's list price. Pure.
 *
 * Prices are those of a large provider's standard class in its first region as of 2025, in US dollars; bytes inside a region cost
 * nothing there, bytes out of it far more than any request, so only requests are counted.
 */
import type { RequestCounts } from '../request-counter.js';

/** PUT, POST, LIST. */
export const DOLLARS_PER_WRITE = 0.005 / 1000;
/** GET and HEAD. */
export const DOLLARS_PER_READ = 0.0004 / 1000;

export function dollarsOf({ gets, heads, lists, puts, posts }: RequestCounts): number {
  return (gets + heads) * DOLLARS_PER_READ + (lists + puts + posts) * DOLLARS_PER_WRITE;
}
