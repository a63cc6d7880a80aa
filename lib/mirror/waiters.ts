/**
 * Who waits for chunks: an `ensure` holds each of them and fails with the first; a `prefetch` holds nothing and counts.
 *
 * Both publish a chunk in their map in the turn in which it comes. To leave early has no effect on the chunks' way: they go
 * on travelling for others, or are dropped by the fetcher when nobody is left.
 */
import type { ChunkNumber, SlotNumber } from '../format/geometry.js';
import { allowManyWaits } from '../util/abort.js';
import { LazydiskError } from '../util/errors.js';
import type { PrefetchOutcome, SlotMap } from './api.js';
import type { Arrival, Waiter } from './arrival.js';
import type { SlotLease } from './lease.js';

/** A promise that the arrivals of one call settle. */
abstract class Wait implements Waiter {
  private readonly done: Promise<void>;
  private settle: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  private readonly missing = new Set<Arrival>();

  constructor(readonly map: SlotMap) {
    this.done = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
  }

  expect(arrival: Arrival): void {
    this.missing.add(arrival);
  }

  abstract came(
    arrival: Arrival,
    chunks: readonly ChunkNumber[],
    slot: SlotNumber | undefined,
    bytes: Uint8Array | undefined,
  ): void;
  abstract failed(arrival: Arrival, chunks: readonly ChunkNumber[], error: unknown): void;

  /** Ends the wait. */
  leave(error: unknown): void {
    for (const arrival of this.missing) arrival.forget(this);
    this.missing.clear();
    this.settle?.reject(error);
  }

  /** Resolves when the chunks' ways have ended, or rejects as the class says. ABORTED: the signal. */
  async over(signal: AbortSignal | undefined): Promise<void> {
    const onAbort = () => {
      this.leave(notAwaited());
    };
    if (signal !== undefined) allowManyWaits(signal);
    signal?.addEventListener('abort', onAbort);
    try {
      await this.done;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  protected ended(arrival: Arrival): void {
    this.missing.delete(arrival);
    if (this.missing.size === 0) this.settle?.resolve();
  }
}

/** One `ensure`: done when all chunks have come, rejected when one has failed. */
export class LeaseWait extends Wait {
  constructor(
    map: SlotMap,
    private readonly lease: SlotLease,
  ) {
    super(map);
  }

  came(
    arrival: Arrival,
    chunks: readonly ChunkNumber[],
    slot: SlotNumber | undefined,
    bytes: Uint8Array | undefined,
  ): void {
    if (slot !== undefined) this.lease.hold(slot);
    for (const chunk of chunks) {
      if (slot !== undefined) arrival.pool.maps.publish(this.map, chunk, slot);
      else if (bytes !== undefined) this.lease.carry(chunk, bytes);
    }
    this.ended(arrival);
  }

  failed(_arrival: Arrival, _chunks: readonly ChunkNumber[], error: unknown): void {
    this.leave(error);
  }
}

/** One `prefetch`: done when each chunk's way has ended, however. Rejected only by `leave`. */
export class PrefetchWait extends Wait {
  private arrivedChunks = 0;
  private failedChunks = 0;
  private refusedChunks = 0;

  came(arrival: Arrival, chunks: readonly ChunkNumber[], slot: SlotNumber | undefined): void {
    if (slot === undefined) {
      this.refused(chunks.length);
    } else {
      for (const chunk of chunks) arrival.pool.maps.publish(this.map, chunk, slot);
      this.arrived(chunks.length);
    }
    this.ended(arrival);
  }

  failed(arrival: Arrival, chunks: readonly ChunkNumber[]): void {
    this.failedChunks += chunks.length;
    this.ended(arrival);
  }

  /** Chunks that were here already. */
  arrived(count: number): void {
    this.arrivedChunks += count;
  }

  refused(count: number): void {
    this.refusedChunks += count;
  }

  outcome(): PrefetchOutcome {
    const { arrivedChunks, failedChunks, refusedChunks } = this;
    return { arrivedChunks, failedChunks, refusedChunks };
  }
}

export function notAwaited(): LazydiskError {
  return new LazydiskError('ABORTED', 'The caller did not wait for the chunks.');
}
