/**
 * A chunk on its way, and who waits for it: one arrival per chunk, however many ask.
 *
 * When it ends, every waiter learns of it in the same synchronous turn, in which the slot is pinned: nothing can come between
 * "it is here" and "it is held for you". Who waits, and what for, is in waiters.ts.
 */
import type { ChunkNumber, SlotNumber } from '../format/geometry.js';
import type { ChunkReference } from '../format/references.js';
import type { FetchPriority, SlotMap } from './api.js';
import type { Shipment } from './run.js';
import { isMoreUrgent } from './priority.js';
import type { SlotPool } from './slot-pool.js';

/** Who waits for chunks. Called in the turn in which a chunk's way ends, once for each arrival that was joined. */
export interface Waiter {
  /** Where the chunks are wanted. */
  readonly map: SlotMap;
  /** The chunk is in the slot, which the caller has pinned; or it could not be kept, and these are its bytes. */
  came(
    arrival: Arrival,
    chunks: readonly ChunkNumber[],
    slot: SlotNumber | undefined,
    bytes: Uint8Array | undefined,
  ): void;
  failed(arrival: Arrival, chunks: readonly ChunkNumber[], error: unknown): void;
}

export class Arrival implements Shipment {
  private readonly waiters = new Map<Waiter, ChunkNumber[]>();
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

  /** `chunk`: where the waiter's map wants it. May be called again for another place. */
  join(waiter: Waiter, chunk: ChunkNumber, priority: FetchPriority): void {
    const chunks = this.waiters.get(waiter);
    if (chunks === undefined) this.waiters.set(waiter, [chunk]);
    else chunks.push(chunk);
    if (isMoreUrgent(priority, this.priority)) this.priority = priority;
  }

  forget(waiter: Waiter): void {
    this.waiters.delete(waiter);
  }

  /** Where the map wants it: nowhere, mostly. */
  chunksFor(map: SlotMap): readonly ChunkNumber[] {
    const chunks: ChunkNumber[] = [];
    for (const [waiter, wanted] of this.waiters) if (waiter.map === map) chunks.push(...wanted);
    return chunks;
  }

  isUnwanted(): boolean {
    return this.waiters.size === 0 && !this.isKept;
  }

  /** The chunk is verified, in the slot (pinned by the caller), or could not be kept: then its bytes are passed on. */
  arrived(slot: SlotNumber | undefined, bytes: Uint8Array | undefined): void {
    if (!this.end()) return;
    for (const [waiter, chunks] of this.waiters) waiter.came(this, chunks, slot, bytes);
  }

  /** Ignored after an end. */
  failed(error: unknown): void {
    if (!this.end()) return;
    for (const [waiter, chunks] of [...this.waiters]) waiter.failed(this, chunks, error);
  }

  private end(): boolean {
    if (this.ended) return false;
    this.ended = true;
    this.onEnd(this);
    return true;
  }
}
