/** The recorded reads of a boot, and what they need at the least. Pure. */

export interface TraceRead {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** The reads of a trace, in order. A line is `milliseconds op offset length`; op r is a read, all else is passed over. */
export function parseTrace(text: string): TraceRead[] {
  return text
    .split('\n')
    .map((line) => /^[\d.]+ r (\d+) (\d+)$/.exec(line))
    .filter((match) => match !== null)
    .map((match) => ({ offset: Number(match[1]), lengthBytes: Number(match[2]) }));
}

/** The numbers of the grains (aligned pieces of `grainBytes`) that the reads touch, each once, in order of first touch. */
export function touchedGrains(reads: readonly TraceRead[], grainBytes: number): number[] {
  const grains = new Set<number>();
  for (const { offset, lengthBytes } of reads) {
    const last = Math.floor((offset + lengthBytes - 1) / grainBytes);
    for (let grain = Math.floor(offset / grainBytes); grain <= last; grain += 1) grains.add(grain);
  }
  return [...grains];
}
