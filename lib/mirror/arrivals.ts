/**
 * Every chunk that is on its way, by its name: who asks for one that travels already joins it.
 *
 * An arrival is listed from the moment it begins until it ends, and takes itself off the list then, before its waiters hear of it:
 * whoever asks afterwards finds the chunk in a slot, or begins anew.
 */
import type { Bytes, ChunkNumber } from '../format/geometry.js';
import type { ChunkId, ChunkReference } from '../format/references.js';
import type { FetchPriority, SlotMap } from './api.js';
import { Arrival } from './arrival.js';
import type { SlotPool } from './slot-pool.js';

export class Arrivals {
  private readonly listed = new Map<string, Arrival>();
  private total: Bytes = 0;

  /** Of all of them, when they will have come: room that is as good as taken. */
  get expectedBytes(): Bytes {
    return this.total;
  }

  get count(): number {
    return this.listed.size;
  }

  find(pool: SlotPool, id: ChunkId): Arrival | undefined {
    return this.listed.get(keyOf(pool, id));
  }

  /** Of a chunk that is not on its way. `isKept`: it goes on even if nobody waits. */
  begin(pool: SlotPool, reference: ChunkReference, priority: FetchPriority, isKept = false): Arrival {
    const key = keyOf(pool, reference.id);
    const onEnd = () => {
      this.listed.delete(key);
      this.total -= pool.chunkSizeBytes;
    };
    const arrival = new Arrival(pool, reference, priority, onEnd, isKept);
    this.listed.set(key, arrival);
    this.total += pool.chunkSizeBytes;
    return arrival;
  }

  /** Where a map waits for chunks. */
  chunksFor(map: SlotMap): ChunkNumber[] {
    return [...this.listed.values()].flatMap((arrival) => arrival.chunksFor(map));
  }

  /** Ends all of them. */
  fail(error: unknown): void {
    for (const arrival of [...this.listed.values()]) arrival.failed(error);
  }
}

/** With the chunk size: a damaged tree may give an id to chunks of two sizes. */
function keyOf(pool: SlotPool, id: ChunkId): string {
  return `${String(pool.chunkSizeBytes)}/${id}`;
}
