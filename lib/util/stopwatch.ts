/** How much time has passed, for those whose safety depends on it. */

/** Milliseconds since it was started. */
export type Stopwatch = () => number;

/**
 * Counts the time in which the machine slept, which the monotonic clock leaves out, and is not fooled by a clock that is set
 * back, which the other one is: the longer of the two counts. A clock that is set forward makes it too long, never too short.
 */
export function startStopwatch(): Stopwatch {
  const wall = Date.now();
  const monotonic = performance.now();
  return () => Math.max(Date.now() - wall, performance.now() - monotonic);
}
