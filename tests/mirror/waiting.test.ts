import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { FetchPriority } from '../../lib/mirror/api.js';
import { WaitingChunks, type Waiting } from '../../lib/mirror/waiting.js';
import { CHUNK } from './fake-source.js';

interface One extends Waiting {
  readonly n: number;
  unwanted?: boolean;
}

function one(n: number, segment = 's', storedBytes = CHUNK): One {
  return {
    n,
    reference: { segment, offsetBytes: n * CHUNK, storedBytes, codec: storedBytes === CHUNK ? 'none' : 'zstd' },
    chunkSizeBytes: CHUNK,
    isUnwanted() {
      return (this as One).unwanted === true;
    },
  };
}

const NO_LIMIT = { runBytes: 100 * CHUNK, alongBytes: 100 * CHUNK };
const numbers = (run: readonly One[]) => run.map(({ n }) => n);

function lines(waiting: Partial<Record<FetchPriority, readonly One[]>>): WaitingChunks<One> {
  const all = new WaitingChunks<One>();
  for (const [priority, some] of Object.entries(waiting)) for (const x of some) all.add(x, priority as FetchPriority);
  return all;
}

describe('WaitingChunks', () => {
  test('a run begins with the first of its line and takes the neighbours that follow, from lower lines too', () => {
    const all = lines({ demand: [one(5), one(9)], prefetch: [one(6)], fill: [one(4), one(7), one(8)] });
    expect(numbers(all.takeRun('demand', NO_LIMIT))).toEqual([5, 6, 7, 8, 9]);
    expect(numbers(all.takeRun('fill', NO_LIMIT))).toEqual([4]);
    expect(all.size).toBe(0);
  });

  test('what nobody reads yet takes the neighbours before it, too', () => {
    const all = lines({ fill: [5, 3, 6, 4, 2].map((n) => one(n)) });
    expect(numbers(all.takeRun('fill', NO_LIMIT))).toEqual([2, 3, 4, 5, 6]);
  });

  test('the cap counts all, the second one what comes from lower lines', () => {
    const all = lines({ demand: [one(1), one(2)], fill: [3, 4, 5, 6].map((n) => one(n)) });
    expect(numbers(all.takeRun('demand', { runBytes: 10 * CHUNK, alongBytes: 2 * CHUNK }))).toEqual([1, 2, 3, 4]);
    expect(numbers(all.takeRun('fill', { runBytes: CHUNK, alongBytes: 0 }))).toEqual([5]);
  });

  test('another segment, a gap, another chunk size and an unwanted neighbour end a run', () => {
    const other: One = { ...one(2), chunkSizeBytes: 2 * CHUNK };
    const gone: One = { ...one(2), unwanted: true };
    for (const neighbour of [one(2, 't'), one(3), other, gone]) {
      const all = lines({ demand: [one(1), neighbour] });
      expect(numbers(all.takeRun('demand', NO_LIMIT))).toEqual([1]);
    }
  });

  test('stored lengths decide who is a neighbour', () => {
    const [a, b] = [one(0, 's', 1000), one(0, 's', 500)];
    const next: One = { ...b, n: 1, reference: { ...b.reference, offsetBytes: 1000 } };
    expect(numbers(lines({ demand: [a, next] }).takeRun('demand', NO_LIMIT))).toEqual([0, 1]);
  });

  test('raise moves to the end of the more urgent line, never to a less urgent one', () => {
    const [a, b, c] = [one(1), one(10), one(20)];
    const all = lines({ demand: [a!], fill: [b!, c!] });
    all.raise(c!, 'demand');
    all.raise(a!, 'fill');
    all.raise(one(99), 'demand'); // does not wait
    expect([0, 1].map(() => numbers(all.takeRun('demand', NO_LIMIT)))).toEqual([[1], [20]]);
    expect(all.has('demand')).toBe(false);
    expect(numbers(all.takeRun('fill', NO_LIMIT))).toEqual([10]);
  });

  test('those at the heads that nobody waits for are taken out', () => {
    const some = [1, 2, 3, 4].map((n) => one(n));
    const all = lines({ fill: some });
    for (const n of [0, 1, 3]) some[n]!.unwanted = true;
    expect(numbers(all.takeUnwanted())).toEqual([1, 2]);
    expect(all.size).toBe(2);
  });

  test('everybody leaves exactly once, in runs of neighbours within the cap, whatever is added, raised and taken', () => {
    const priority = fc.constantFrom<FetchPriority>('demand', 'readahead', 'prefetch', 'fill');
    const step = fc.record({ what: fc.constantFrom('add', 'raise', 'take'), n: fc.nat(20), priority, cap: fc.nat(5) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const all = new WaitingChunks<One>();
        const inside = new Set<One>();
        const take = (run: One[], cap: number) => {
          for (const x of run) expect(inside.delete(x)).toBe(true);
          expect(run.length).toBeLessThanOrEqual(Math.max(1, cap));
          for (let n = 1; n < run.length; n++) expect(run[n]!.n).toBe(run[n - 1]!.n + 1);
        };
        for (const { what, n, priority: line, cap } of steps) {
          const known = [...inside].find((x) => x.n === n);
          if (what === 'add') {
            const x = one(n); // a second one at the same place, too
            inside.add(x);
            all.add(x, line);
          } else if (what === 'raise' && known !== undefined) {
            all.raise(known, line);
          } else if (what === 'take') {
            take(all.takeRun(line, { runBytes: cap * CHUNK, alongBytes: cap * CHUNK }), cap);
          }
          expect(all.size).toBe(inside.size);
        }
        for (const x of all.takeAll()) expect(inside.delete(x)).toBe(true);
        expect(inside.size).toBe(0);
      }),
    );
  });
});
