/**
 * Which GET starts next, if any: a pure decision. The fetcher asks again whenever something has changed.
 *
 *   - Demand starts at once, up to the bound of requests. As long as demand waits, nothing else starts.
 *   - The rest (readahead before prefetch before the fills) keeps the link busy: it starts while fewer bytes than the window are still
 *     to come, demand's own included. The window is what the link holds (link-estimate.ts), so what demand finds before
 *     it in the line is little more than one run of the background. A quarter of the requests is never taken by it.
 *   - A run of the background is a quarter of the window: small beside what demand would wait for, large enough that few
 *     requests are needed. A demand run takes neighbours from lower lines along, at most one run above the window.
 *   - A link of which less than a run is known is never left idle: one run of the background may always travel.
 *   - A fill starts only as far as its rate allows (lib/util/rate-limit.ts).
 */
import type { Bytes } from '../format/geometry.js';
import type { FetchPriority } from './api.js';
import type { RunLimits } from './waiting.js';

/** What the decision is made from. */
export interface LinkLoad {
  /** Runs that are under way: travelling, or not handed over yet. */
  readonly requests: number;
  /** Bytes that were asked for and have not come. */
  readonly awaitedBytes: Bytes;
  readonly windowBytes: Bytes;
  /** Whether somebody stands in the line. */
  waits(priority: FetchPriority): boolean;
  readonly mayFill: boolean;
}

export interface LinkBounds {
  /** Runs under way, at least 2. */
  readonly maxRequests: number;
  readonly maxRunBytes: Bytes;
}

export interface Start extends RunLimits {
  readonly priority: FetchPriority;
}

/** Runs of a window: with three others on their way, the link does not idle when one has come. */
const RUNS_PER_WINDOW = 4;
/** Below this a request costs more than what it carries. */
const SMALLEST_RUN_BYTES = 64 * 1024;

/** What starts now. undefined: nothing, until something changes. */
export function decideStart(load: LinkLoad, bounds: LinkBounds): Start | undefined {
  const { maxRequests, maxRunBytes } = bounds;
  const runBytes = Math.min(maxRunBytes, Math.max(SMALLEST_RUN_BYTES, load.windowBytes / RUNS_PER_WINDOW));
  const roomBytes = load.windowBytes - load.awaitedBytes;
  if (load.waits('demand')) {
    if (load.requests >= maxRequests) return undefined;
    return {
      priority: 'demand',
      runBytes: maxRunBytes,
      alongBytes: Math.max(0, Math.min(runBytes, roomBytes + runBytes)),
    };
  }
  const forBackground = Math.max(1, maxRequests - Math.max(1, Math.floor(maxRequests / 4)));
  if (load.requests >= forBackground || (roomBytes <= 0 && load.awaitedBytes > 0)) return undefined;
  const priority = (['readahead', 'prefetch'] as const).find((one) => load.waits(one));
  if (priority !== undefined) return { priority, runBytes, alongBytes: runBytes };
  const fill = load.mayFill ? (['eager', 'fill'] as const).find((one) => load.waits(one)) : undefined;
  return fill && { priority: fill, runBytes, alongBytes: 0 };
}
