/**
 * When a second GET races a slow one: the decision, and the measure that it rests on.
 *
 * A GET that a reader waits for is slow when it has been silent for longer than 19 of 20 such GETs were before their first
 * byte: a lost packet, a stalled server, a dead connection. Then what is still missing of it is asked for once more; the
 * first answer counts. At most one request in twenty is such a second one, so that a store which is slow for all is not
 * asked for twice as much ("The Tail at Scale", Dean and Barroso, CACM 2013). As long as too little is known, seconds of
 * silence are unusual; and the first one that waits that long is raced whatever the budget says, since it may be the read
 * that a boot waits for.
 */

/** Of the last GETs that a reader waited for. */
const KEPT_TIMES = 128;
/** Fewer say nothing about the slowest twentieth. */
const FEWEST_TIMES = 20;
/** Nearer than this, noise of the own host would be raced. */
const SHORTEST_SILENCE_MS = 20;
/** What no store takes on a good day. */
const LONG_SILENCE_MS = 3000;
/** Requests for each hedge. */
const REQUESTS_PER_HEDGE = 20;

/** Times from a request to its first byte. */
export class FirstByteTimes {
  private readonly times: number[] = [];
  private next = 0;

  add(ms: number): void {
    this.times[this.next] = ms;
    this.next = (this.next + 1) % KEPT_TIMES;
  }

  /** The silence that is unusual. undefined: too little is known. */
  unusualMs(): number | undefined {
    if (this.times.length < FEWEST_TIMES) return undefined;
    const ascending = [...this.times].sort((a, b) => a - b);
    return Math.max(SHORTEST_SILENCE_MS, ascending[Math.ceil(ascending.length * 0.95) - 1]!);
  }
}

/** What to do about a GET that has been silent: ask once more, look again after some time, or leave it alone. */
export type HedgeDecision =
  { readonly do: 'hedge' | 'nothing' } | { readonly do: 'look-again'; readonly afterMs: number };

/** `requests`: that readers waited for, so far; `hedges`: second ones among them. */
export function decideHedge(
  silentMs: number,
  unusualMs: number | undefined,
  requests: number,
  hedges: number,
): HedgeDecision {
  const limitMs = unusualMs ?? LONG_SILENCE_MS;
  if (silentMs < limitMs) return { do: 'look-again', afterMs: limitMs - silentMs };
  if ((hedges + 1) * REQUESTS_PER_HEDGE <= requests) return { do: 'hedge' };
  if (hedges > 0) return { do: 'nothing' };
  return silentMs < LONG_SILENCE_MS ? { do: 'look-again', afterMs: LONG_SILENCE_MS - silentMs } : { do: 'hedge' };
}
