/**
 * What readers of a base have asked for, as the main thread sees it: which chunks, in which order for the first time, and
 * whether a marked chunk was read.
 *
 * Readers write (serve.ts): one byte per chunk says "touched", so that the usual read looks at one byte more and that is
 * all; a first touch also goes to a log of fixed length. Nobody is told of it: who wants to know looks. Only a marked chunk
 * wakes the main thread, which waits with Atomics.waitAsync: no timer, no message, nothing that keeps a process alive.
 *
 * A log that is full goes on counting and forgets the rest: what comes so late is no part of a boot.
 */
import type { ChunkNumber } from '../format/geometry.js';
import { LOG_COUNT, LOG_HEADER_WORDS, LOG_WAKE, MARKED, TOUCHED } from './plane.js';
import type { TouchPlane } from './plane.js';

/** Entries of a log: 16 GiB in chunks of 256 KiB. Its pages exist from the first touch on. */
const LOG_ENTRIES = 65_536;

export class Touches {
  /** null for a base without chunks. */
  readonly plane: TouchPlane | null;

  constructor(chunks: number, entries = Math.min(chunks, LOG_ENTRIES)) {
    this.plane =
      chunks === 0
        ? null
        : {
            states: new Uint8Array(new SharedArrayBuffer(chunks)),
            log: new Int32Array(new SharedArrayBuffer((LOG_HEADER_WORDS + entries) * Int32Array.BYTES_PER_ELEMENT)),
          };
  }

  /** How many chunks were touched so far; grows. */
  count(): number {
    return this.plane === null ? 0 : Atomics.load(this.plane.log, LOG_COUNT);
  }

  has(chunk: ChunkNumber): boolean {
    return this.plane !== null && ((this.plane.states[chunk] ?? 0) & TOUCHED) !== 0;
  }

  /** Chunks in the order of their first touch, without the first `skip` of them; as far as the log goes. */
  inOrder(skip = 0): ChunkNumber[] {
    const chunks: ChunkNumber[] = [];
    if (this.plane === null) return chunks;
    const { log } = this.plane;
    const end = Math.min(LOG_HEADER_WORDS + Atomics.load(log, LOG_COUNT), log.length);
    for (let at = LOG_HEADER_WORDS + skip; at < end; at++) {
      const entry = Atomics.load(log, at);
      // Its writer is between counting and writing it down.
      if (entry === 0) break;
      chunks.push(entry - 1);
    }
    return chunks;
  }

  /** The last `most` chunks of the log. */
  last(most: number): ChunkNumber[] {
    if (this.plane === null) return [];
    const entries = Math.min(this.count(), this.plane.log.length - LOG_HEADER_WORDS);
    return this.inOrder(Math.max(0, entries - most));
  }

  /** Whoever reads the chunk next wakes us. */
  mark(chunk: ChunkNumber): void {
    if (this.plane !== null && chunk < this.plane.states.length) Atomics.or(this.plane.states, chunk, MARKED);
  }

  unmark(chunk: ChunkNumber): void {
    if (this.plane !== null && chunk < this.plane.states.length) Atomics.and(this.plane.states, chunk, ~MARKED);
  }

  isMarked(chunk: ChunkNumber): boolean {
    return this.plane !== null && ((this.plane.states[chunk] ?? 0) & MARKED) !== 0;
  }

  /** Counts the marked chunks that were read: what `woken` compares with. */
  wakes(): number {
    return this.plane === null ? 0 : Atomics.load(this.plane.log, LOG_WAKE);
  }

  /** Resolves once `wakes` differs from `seen`. Pending, it does not keep the process alive. */
  async woken(seen: number): Promise<void> {
    if (this.plane === null) return new Promise(() => undefined);
    const wait = Atomics.waitAsync(this.plane.log, LOG_WAKE, seen);
    if (wait.async) await wait.value;
  }

  /** Ends every wait. */
  wake(): void {
    if (this.plane === null) return;
    Atomics.add(this.plane.log, LOG_WAKE, 1);
    Atomics.notify(this.plane.log, LOG_WAKE);
  }

  /** Takes over what was touched of a base that this one replaces: a commit changes bytes, not what a guest has read. */
  takeOver(earlier: Touches): void {
    if (this.plane === null) return;
    const { states, log } = this.plane;
    for (const chunk of earlier.inOrder()) {
      if (chunk >= states.length || (Atomics.or(states, chunk, TOUCHED) & TOUCHED) !== 0) continue;
      const at = LOG_HEADER_WORDS + Atomics.add(log, LOG_COUNT, 1);
      if (at < log.length) Atomics.store(log, at, chunk + 1);
    }
  }
}
