/**
 * Chunks that wait for their GET: a line per priority, and which of them stand one after the other in a segment.
 *
 * A run is put together when it starts, not when it was asked for: it begins with the first of the most urgent line that may
 * start, takes the neighbours that follow in the segment from whatever line they stand in, and for what nobody reads yet the
 * neighbours before it, too. So a chunk that a guest demands takes along what the background would have fetched next to
 * it, in the same request and behind it. Chunks of one run are of one size. No I/O, no policy: how much a run may take is said by
 * the caller (start-decision.ts).
 */
import type { Bytes } from '../format/geometry.js';
import type { Place } from '../format/references.js';
import type { FetchPriority } from './api.js';
import { isMoreUrgent, PRIORITIES } from './priority.js';

/** What may stand in a line. */
export interface Waiting {
  readonly reference: Place;
  readonly chunkSizeBytes: Bytes;
  /** Nobody waits any more. */
  isUnwanted(): boolean;
}

/** How much one run may take. Its first chunk is taken whatever its length. */
export interface RunLimits {
  /** Stored bytes of the whole run. */
  readonly runBytes: Bytes;
  /** Of these, bytes of chunks that stand in lower lines. */
  readonly alongBytes: Bytes;
}

export class WaitingChunks<W extends Waiting> {
  private readonly lines: Readonly<Record<FetchPriority, Set<W>>> = {
    demand: new Set(),
    readahead: new Set(),
    prefetch: new Set(),
    eager: new Set(),
    fill: new Set(),
  };
  private readonly priorities = new Map<W, FetchPriority>();
  private readonly byStart = new Map<string, W>();
  private readonly byEnd = new Map<string, W>();

  get size(): number {
    return this.priorities.size;
  }

  has(priority: FetchPriority): boolean {
    return this.lines[priority].size > 0;
  }

  /** To the end of the line. */
  add(one: W, priority: FetchPriority): void {
    this.lines[priority].add(one);
    this.priorities.set(one, priority);
    // Two references may name one place: the first stands for it, the other travels alone.
    if (!this.byStart.has(startOf(one))) this.byStart.set(startOf(one), one);
    if (!this.byEnd.has(endOf(one))) this.byEnd.set(endOf(one), one);
  }

  /** To the end of a more urgent line; nothing for what does not wait, or is as urgent already. */
  raise(one: W, priority: FetchPriority): void {
    const before = this.priorities.get(one);
    if (before === undefined || !isMoreUrgent(priority, before)) return;
    this.lines[before].delete(one);
    this.lines[priority].add(one);
    this.priorities.set(one, priority);
  }

  /** Takes those at the heads of the lines that nobody waits for any more. */
  takeUnwanted(): W[] {
    const unwanted: W[] = [];
    for (const priority of PRIORITIES) {
      for (const one of this.lines[priority]) {
        if (!one.isUnwanted()) break;
        this.remove(one);
        unwanted.push(one);
      }
    }
    return unwanted;
  }

  /** Takes the next run of a line, in the order of the segment; empty when nobody stands in it. */
  takeRun(priority: FetchPriority, limits: RunLimits): W[] {
    const [first] = this.lines[priority];
    if (first === undefined) return [];
    this.remove(first);
    const run = [first];
    const left = { run: limits.runBytes - first.reference.storedBytes, along: limits.alongBytes };
    for (let last = first; ;) {
      const next = this.byStart.get(endOf(last));
      if (next === undefined || !this.mayJoin(next, first, priority, left)) break;
      this.remove(next);
      run.push(next);
      last = next;
    }
    if (priority === 'demand' || priority === 'readahead') return run;
    const before: W[] = [];
    for (let earliest = first; ;) {
      const next = this.byEnd.get(startOf(earliest));
      if (next === undefined || !this.mayJoin(next, first, priority, left)) break;
      this.remove(next);
      before.push(next);
      earliest = next;
    }
    return [...before.reverse(), ...run];
  }

  /** Empties all lines. */
  takeAll(): W[] {
    const all = PRIORITIES.flatMap((priority) => [...this.lines[priority]]);
    for (const one of all) this.remove(one);
    return all;
  }

  private mayJoin(next: W, first: W, priority: FetchPriority, left: { run: Bytes; along: Bytes }): boolean {
    const { storedBytes } = next.reference;
    const isAlong = isMoreUrgent(priority, this.priorities.get(next)!);
    if (next.chunkSizeBytes !== first.chunkSizeBytes || storedBytes > left.run || next.isUnwanted()) return false;
    if (isAlong && storedBytes > left.along) return false;
    left.run -= storedBytes;
    if (isAlong) left.along -= storedBytes;
    return true;
  }

  private remove(one: W): void {
    this.lines[this.priorities.get(one)!].delete(one);
    this.priorities.delete(one);
    if (this.byStart.get(startOf(one)) === one) this.byStart.delete(startOf(one));
    if (this.byEnd.get(endOf(one)) === one) this.byEnd.delete(endOf(one));
  }
}

function startOf({ reference: { segment, offsetBytes } }: Waiting): string {
  return `${segment}/${String(offsetBytes)}`;
}

function endOf({ reference: { segment, offsetBytes, storedBytes } }: Waiting): string {
  return `${segment}/${String(offsetBytes + storedBytes)}`;
}
