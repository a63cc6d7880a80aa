/**
 * A chunk on its way, and who waits for it: one arrival per chunk, however many ask.
 *
 * When it ends, every waiter gets its pin and its word in the map in the same synchronous turn, so that nothing can come
 * between "it is here" and "it is held for you".
 */
import type { ChunkNumber, SlotNumber } from '../format/geometry.js';
import type { ChunkReference } from '../format/references.js';
import { LazydiskError } from '../util/errors.js';
import type { FetchPriority, SlotMap } from './api.js';
import type { Shipment } from './fetcher.js';
import type { SlotLease } from './lease.js';
import type { SlotPool } from './slot-pool.js';

/** One `ensure` that waits for chunks. Resolves when all have come, rejects when one has failed or the caller has left. */
export class Wait {
  readonly done: Promise<void>;
  private resolve: () => void = () => undefined;
  private reject: (error: unknown) => void = () => undefined;
  private readonly missing = new Set<Arrival>();

  constructor(
    readonly map: SlotMap,
    readonly lease: SlotLease,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  expect(arrival: Arrival): void {
    this.missing.add(arrival);
  }

  came(arrival: Arrival): void {
    this.missing.delete(arrival);
    if (this.missing.size === 0) this.resolve();
  }

  /** Ends the wait; the chunks go on travelling for others. */
  leave(error: unknown): void {
    for (const arrival of this.missing) arrival.forget(this);
    this.missing.clear();
    this.reject(error);
  }

  leaveAborted(): void {
    this.leave(new LazydiskError('ABORTED', 'The caller did not wait for the chunks.'));
  }
}

export class Arrival implements Shipment {
  private readonly waits = new Map<Wait, ChunkNumber[]>();
  private ended = false;

  /** `onEnd` is called once, before the waiters hear of it. `isKept`: it goes on even if nobody waits. */
  constructor(
    readonly pool: SlotPool,
    readonly reference: ChunkReference,
    public priority: FetchPriority,
    private readonly onEnd: (arrival: Arrival) => void,
    private readonly isKept = false,
  ) {}

  get chunkSizeBytes(): number {
    return this.pool.chunkSizeBytes;
  }

  join(wait: Wait, chunk: ChunkNumber): void {
    const chunks = this.waits.get(wait);
    if (chunks === undefined) this.waits.set(wait, [chunk]);
    else chunks.push(chunk);
    wait.expect(this);
  }

  forget(wait: Wait): void {
    this.waits.delete(wait);
  }

  isUnwanted(): boolean {
    return this.waits.size === 0 && !this.isKept;
  }

  /** The chunk is verified, in the slot (pinned by the caller), or could not be kept: then its bytes are passed on. */
  arrived(slot: SlotNumber | undefined, bytes: Uint8Array | undefined): void {
    if (!this.end()) return;
    for (const [wait, chunks] of this.waits) {
      if (slot !== undefined) wait.lease.hold(slot);
      for (const chunk of chunks) {
        if (slot !== undefined) this.pool.maps.publish(wait.map, chunk, slot);
        else if (bytes !== undefined) wait.lease.carry(chunk, bytes);
      }
      wait.came(this);
    }
  }

  /** Ignored after an end. */
  failed(error: unknown): void {
    if (!this.end()) return;
    for (const wait of [...this.waits.keys()]) wait.leave(error);
  }

  private end(): boolean {
    if (this.ended) return false;
    this.ended = true;
    this.onEnd(this);
    return true;
  }
}
