/**
 * How slots leave: unpublish, then wait for the fence, then await the delete of the record, then punch.
 *
 * Who leaves: the clock decides (clock.ts), among the chunks on probation while these are many (probation.ts).
 *
 *   1. In one synchronous turn: the clock's victims become `unpublished` and vanish from every map.
 *   2. The fence: after it, no worker acts on a map that it loaded before.
 *   3. A victim that was asked for meanwhile has been rescued (nothing of it was touched) and stays. The others are `leaving`.
 *   4. Their records are deleted, and that is awaited.
 *   5. Their space is punched, and the slots are free.
 * Pinned slots are never chosen. If the delete fails, the slots stay (their bytes are still what the record says). One eviction
 * runs at a time; each looks anew at how much is still needed, so callers that wait together do not evict twice.
 *
 * It also keeps the account of space: used bytes of all slot files plus what callers have reserved, against the limit. What
 * is held by leases may exceed the limit; `trim` brings it down afterwards.
 */
import type { Bytes, SlotNumber } from '../format/geometry.js';
import { errnoOf, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { Turns } from '../util/turns.js';
import { sweep } from './clock.js';
import type { SlotPool } from './slot-pool.js';
import type { SlotRecord } from './slot-record.js';
import { KEPT, UNPUBLISHED, UNVERIFIED } from './slot-table.js';
import type { SpaceLimit } from './space-limit.js';
import type { WorkerFence } from './worker-fence.js';

/** Most slots of one round: bounds the synchronous part, and spreads the cost of the fence. */
const ROUND_SLOTS = 128;
/** Rounds in which every victim was rescued, before the eviction gives up. */
const FRUITLESS_ROUNDS = 16;

/** What became of an eviction: enough was freed, or nothing more may leave (all is held), or the local disk failed. */
export type EvictionOutcome = 'enough' | 'nothing-left' | 'failed';

/** What a chunk may do that finds no free room: let others leave, or be refused. */
export type WhenFull = 'evict' | 'refuse';

export interface EvictionParts {
  readonly pools: () => Iterable<SlotPool>;
  readonly record: SlotRecord;
  readonly limit: SpaceLimit;
  readonly fence: WorkerFence;
  readonly log: Log;
}

export class Eviction {
  evictedChunks = 0;
  private reservedBytes = 0;
  private readonly turns = new Turns();
  private trimming: 'no' | 'once' | 'again' = 'no';
  private punchWarned = false;
  /** The last round failed: said once, until one succeeds. */
  private failing = false;

  constructor(private readonly parts: EvictionParts) {}

  /** Bytes of all slots that hold, get or give up a chunk. */
  usedBytes(): Bytes {
    let bytes = 0;
    for (const pool of this.parts.pools()) bytes += pool.table.usedBytes;
    return bytes;
  }

  /** Bytes of the chunks that are here: slots that are being filled do not count. */
  localBytes(): Bytes {
    let bytes = 0;
    for (const { table } of this.parts.pools()) bytes += (table.usedSlots - table.fillingSlots) * table.chunkSizeBytes;
    return bytes;
  }

  /** What the limit leaves beside the chunks that are here. */
  async freeBytes(): Promise<Bytes> {
    return (await this.parts.limit.current(this.usedBytes())) - this.localBytes();
  }

  /**
   * Sets `bytes` aside for slots that are about to be allocated, and evicts what exceeds the limit. False: keep nothing, since
   * the local disk failed, or there is no free room and none shall be made. Followed by `unreserve`, in the turn in
   * which the slots are allocated.
   */
  async reserve(bytes: Bytes, whenFull: WhenFull): Promise<boolean> {
    if (whenFull === 'refuse') return this.reserveFree(bytes);
    this.reservedBytes += bytes;
    const limitBytes = await this.parts.limit.current(this.usedBytes());
    const excess = () => this.usedBytes() + this.reservedBytes - limitBytes;
    if (excess() <= 0) return true;
    return (await this.evict(excess)) !== 'failed';
  }

  /** Looked at and reserved in one turn: of those who ask at once, the first ones get the room that there is. */
  private async reserveFree(bytes: Bytes): Promise<boolean> {
    let limitBytes = 0;
    try {
      limitBytes = await this.parts.limit.current(this.usedBytes());
    } finally {
      this.reservedBytes += bytes;
    }
    return this.usedBytes() + this.reservedBytes <= limitBytes;
  }

  unreserve(bytes: Bytes): void {
    this.reservedBytes -= bytes;
  }

  /** Evicts in the background what exceeds the limit, if anything does. */
  trim(): void {
    const excess = () => this.usedBytes() + this.reservedBytes - this.parts.limit.last();
    if (excess() <= 0) return;
    if (this.trimming !== 'no') {
      this.trimming = 'again'; // what runs may have looked before the caller's slots could leave
      return;
    }
    this.trimming = 'once';
    void this.evict(excess).finally(() => {
      const again = this.trimming === 'again';
      this.trimming = 'no';
      if (again) this.trim();
    });
  }

  /** Evicts at least `bytes`, whatever the limit, if so much may leave. Resolves to what was freed. */
  async giveWay(bytes: Bytes): Promise<Bytes> {
    let freed = 0;
    await this.evict(
      () => bytes - freed,
      (more) => (freed += more),
    );
    return freed;
  }

  /**
   * The disk failed in a kept slot: it leaves as a victim does, held or not, but is never used again. No map names it when
   * this returns, so the next who asks fetches the chunk anew.
   */
  retire(pool: SlotPool, slot: SlotNumber): void {
    const { table, maps } = pool;
    if (table.state(slot) !== KEPT) return;
    this.parts.log.error('a local chunk can not be read and is fetched anew', { slot, chunk: table.idOf(slot) });
    maps.clear(slot);
    table.unpublish(slot);
    table.beginLeaving(slot);
    void this.turns.take(async () => {
      try {
        await this.parts.fence.passed();
        await this.parts.record.remove(pool.chunkSizeBytes, [table.idOf(slot)]);
        table.retire(slot);
      } catch (error) {
        this.parts.log.error('a failing slot can not be retired', { slot, error: messageOf(error) });
        table.stay(slot, KEPT);
      }
    });
  }

  /** Resolves when the evictions that were asked for so far have ended. Never rejects. */
  async settled(): Promise<void> {
    await this.turns.ended();
  }

  /** `needed` is asked before each round; 0 or less ends the eviction. */
  private evict(needed: () => Bytes, freed: (bytes: Bytes) => void = () => undefined): Promise<EvictionOutcome> {
    return this.turns.take(() => this.rounds(needed, freed));
  }

  private async rounds(needed: () => Bytes, freed: (bytes: Bytes) => void): Promise<EvictionOutcome> {
    for (let fruitless = 0; fruitless < FRUITLESS_ROUNDS;) {
      const bytes = needed();
      if (bytes <= 0) return 'enough';
      try {
        const choice = this.choose(bytes);
        if (choice === undefined) return 'nothing-left';
        const left = await this.round(choice.pool, choice.victims);
        freed(left * choice.pool.chunkSizeBytes);
        fruitless = left > 0 ? 0 : fruitless + 1;
        this.failing = false;
      } catch (error) {
        if (!this.failing) this.parts.log.error('local chunks can not be evicted', { error: messageOf(error) });
        this.failing = true;
        return 'failed';
      }
    }
    return 'nothing-left';
  }

  /** The fullest pool gives first. */
  private choose(bytes: Bytes): { pool: SlotPool; victims: readonly SlotNumber[] } | undefined {
    const pools = [...this.parts.pools()].sort((a, b) => b.table.usedBytes - a.table.usedBytes);
    for (const pool of pools) {
      if (pool.table.usedSlots === 0) break;
      const wanted = Math.min(ROUND_SLOTS, Math.ceil(bytes / pool.chunkSizeBytes));
      const { table } = pool;
      const onlyProbation = table.probation.leavesFirst(table.usedSlots);
      const victims =
        (onlyProbation ? this.sweepPool(pool, wanted, (slot) => table.probation.has(slot)) : undefined) ??
        this.sweepPool(pool, wanted, () => true);
      if (victims !== undefined) return { pool, victims };
    }
    return undefined;
  }

  /** Victims among the slots for which `isEligible`; undefined: none of them may leave. */
  private sweepPool(
    pool: SlotPool,
    wanted: number,
    isEligible: (slot: SlotNumber) => boolean,
  ): readonly SlotNumber[] | undefined {
    const { table } = pool;
    const face = {
      slots: table.slots,
      referenced: pool.open().referenced,
      mayLeave: (slot: SlotNumber) => isEligible(slot) && table.mayLeave(slot),
    };
    const { victims, hand } = sweep(face, pool.hand, wanted);
    pool.hand = hand;
    return victims.length > 0 ? victims : undefined;
  }

  /** Resolves to how many slots left. Must begin in the turn in which the victims were chosen. */
  private async round(pool: SlotPool, victims: readonly SlotNumber[]): Promise<number> {
    const { table, maps } = pool;
    // No map names what is unverified, and only its own verification uses it, under a pin: nothing to wait for.
    const unverified = victims.filter((slot) => table.state(slot) === UNVERIFIED);
    const published = victims.filter((slot) => table.state(slot) === KEPT);
    for (const slot of unverified) table.beginLeaving(slot);
    for (const slot of published) {
      maps.clear(slot);
      table.unpublish(slot);
    }
    const unrescued: SlotNumber[] = [];
    try {
      await this.parts.fence.passed();
      unrescued.push(...published.filter((slot) => table.state(slot) === UNPUBLISHED));
      for (const slot of unrescued) table.beginLeaving(slot);
      const leaving = [...unverified, ...unrescued];
      if (leaving.length === 0) return 0;
      await this.parts.record.remove(
        pool.chunkSizeBytes,
        leaving.map((slot) => table.idOf(slot)),
      );
      for (const slot of leaving) table.release(slot);
      this.punch(pool, leaving);
      this.evictedChunks += leaving.length;
      return leaving.length;
    } catch (error) {
      for (const slot of published) if (table.state(slot) === UNPUBLISHED) table.rescue(slot);
      for (const slot of unrescued) table.stay(slot, KEPT);
      for (const slot of unverified) table.stay(slot, UNVERIFIED);
      throw error;
    }
  }

  /** Frees the space of free slots, in the turn in which they became free. */
  private punch(pool: SlotPool, slots: readonly SlotNumber[]): void {
    const ascending = [...slots].sort((a, b) => a - b);
    for (let from = 0; from < ascending.length;) {
      let to = from + 1;
      while (to < ascending.length && ascending[to] === ascending[to - 1]! + 1) to++;
      this.punchRun(pool, ascending[from]!, to - from);
      from = to;
    }
  }

  /** Punches free slots. Where the file system can't, their space stays until they are used again. */
  punchRun(pool: SlotPool, first: SlotNumber, count: number): void {
    try {
      pool.file.punch(first, count);
    } catch (error) {
      if (!this.punchWarned) {
        this.parts.log.warn('the space of evicted chunks can not be given back', {
          errno: errnoOf(error),
          error: messageOf(error),
        });
      }
      this.punchWarned = true;
    }
  }
}
