/**
 * Which chunks travel together: a pure decision.
 *
 * Chunks that stand one after the other in a segment become one run, one ranged GET, up to a cap in bytes; a chunk that is
 * longer than the cap travels alone. The order of the runs is the order in which they were asked for.
 */
import type { Bytes } from '../format/geometry.js';
import type { Place } from '../format/references.js';

/** Groups things with places into runs of neighbours. */
export function planRuns<Thing>(
  things: readonly Thing[],
  placeOf: (thing: Thing) => Place,
  maxRunBytes: Bytes,
): Thing[][] {
  const runs: { things: Thing[]; segment: string; endBytes: Bytes; lengthBytes: Bytes }[] = [];
  for (const thing of things) {
    const { segment, offsetBytes, storedBytes } = placeOf(thing);
    const run = runs.at(-1);
    if (
      run !== undefined &&
      run.segment === segment &&
      run.endBytes === offsetBytes &&
      run.lengthBytes + storedBytes <= maxRunBytes
    ) {
      run.things.push(thing);
      run.endBytes += storedBytes;
      run.lengthBytes += storedBytes;
    } else {
      runs.push({ things: [thing], segment, endBytes: offsetBytes + storedBytes, lengthBytes: storedBytes });
    }
  }
  return runs.map((run) => run.things);
}
