/**
 * How a chunk enters: verified bytes go to a slot, then into the record, then into the table; only then may a map name it.
 *
 *   1. Whatever chunk of the same name is still leaving is waited for: its record must be gone before the new one is written.
 *   2. Room is reserved (eviction.ts), then a slot is allocated in the same turn: for all chunks of a run at once (berth.ts), or
 *      a single one.
 *   3. The bytes are written to the slot. Free slots have no record: theirs was deleted, and that awaited, before they were free.
 *   4. The record is written, and awaited.
 *   5. The table says `kept`, and the slot is pinned for the caller, which publishes it and unpins.
 * A full disk makes the mirror give way and tries once more. A slot in which the disk fails is retired. A chunk that can't be
 * kept is no error: the caller serves its bytes without a slot.
 */
import type { SlotNumber } from '../format/geometry.js';
import type { ChunkId } from '../format/references.js';
import { errnoOf, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { Berth } from './berth.js';
import type { Eviction, WhenFull } from './eviction.js';
import type { SlotPool } from './slot-pool.js';
import type { SlotRecord } from './slot-record.js';
import { LEAVING, UNPUBLISHED, UNVERIFIED } from './slot-table.js';
import type { SpaceLimit } from './space-limit.js';

/** What is asked of eviction when the disk is full, at least: the next chunks shall not meet it at once. */
const GIVE_WAY_BYTES = 4 * 1024 * 1024;

/** A chunk whose bytes were found to hash to its id. */
export interface VerifiedChunk {
  readonly id: ChunkId;
  readonly bytes: Uint8Array;
}

/** The chunk's place among those of its run. */
export interface BerthPlace {
  readonly berth: Berth;
  readonly index: number;
}

export class Keeper {
  /** The last write failed: said once, until one succeeds. */
  private failing = false;
  private givingWay: Promise<unknown> | undefined;

  constructor(
    private readonly parts: {
      readonly record: SlotRecord;
      readonly eviction: Eviction;
      readonly limit: SpaceLimit;
      readonly log: Log;
    },
  ) {}

  /**
   * Keeps a chunk that nobody else is keeping, in a slot of its berth if that has one. Resolves to the slot, pinned; or to undefined
   * when the chunk could not be kept. The bytes must not change meanwhile.
   */
  async keep(
    pool: SlotPool,
    { id, bytes }: VerifiedChunk,
    whenFull: WhenFull,
    berth?: BerthPlace,
  ): Promise<SlotNumber | undefined> {
    const { table } = pool;
    const settled = await this.settle(pool, id);
    if (settled !== 'missing') return settled;
    const slot = (await berth?.berth.take(berth.index)) ?? (await this.takeSlot(pool, whenFull));
    if (slot === undefined || !(await this.fill(pool, slot, bytes, whenFull))) return undefined;
    await this.parts.record.keep(pool.chunkSizeBytes, [{ id, slot }]);
    table.keep(slot, id);
    table.pin(slot);
    pool.file.referenced[slot] = 0; // its first use will set it; what is never used leaves first
    return slot;
  }

  /**
   * Waits until no slot of this chunk is leaving. Then it is missing, as expected; or its slot has stayed (the eviction
   * failed) and is pinned; or it has stayed with bytes that nobody has verified, and there is no place for another copy.
   */
  private async settle(pool: SlotPool, id: ChunkId): Promise<'missing' | SlotNumber | undefined> {
    const { table } = pool;
    for (;;) {
      const slot = table.find(id);
      if (slot === undefined) return 'missing';
      const state = table.state(slot);
      if (state === UNVERIFIED) return undefined;
      if (state !== LEAVING) {
        if (state === UNPUBLISHED) table.rescue(slot);
        table.pin(slot);
        return slot;
      }
      await this.parts.eviction.settled();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** A single slot, `filling`. */
  private async takeSlot(pool: SlotPool, whenFull: WhenFull): Promise<SlotNumber | undefined> {
    const { eviction } = this.parts;
    const hasRoom = await eviction.reserve(pool.chunkSizeBytes, whenFull).catch(() => false);
    const [slot] = hasRoom ? pool.table.allocate(1) : [];
    eviction.unreserve(pool.chunkSizeBytes);
    return slot;
  }

  /** Whether the slot holds the bytes now; otherwise it has been given back. Never rejects. */
  private async fill(pool: SlotPool, slot: SlotNumber, bytes: Uint8Array, whenFull: WhenFull): Promise<boolean> {
    const { eviction, limit, log } = this.parts;
    limit.wrote(bytes.length);
    try {
      await pool.file.write(slot, bytes).catch(async (error: unknown) => {
        if (!isFull(error) || whenFull === 'refuse') throw error;
        await this.giveWay();
        await pool.file.write(slot, bytes);
      });
      this.failing = false;
      return true;
    } catch (error) {
      if (!this.failing) log.warn('chunks can not be kept locally', { slot, error: messageOf(error) });
      this.failing = true;
      if (isFull(error)) {
        eviction.punchRun(pool, slot, 1);
        pool.table.release(slot);
      } else {
        pool.table.retire(slot);
      }
      return false;
    }
  }

  /** Chunks that meet a full disk together evict once. */
  private giveWay(): Promise<unknown> {
    this.givingWay ??= this.parts.eviction.giveWay(GIVE_WAY_BYTES).finally(() => {
      this.givingWay = undefined;
    });
    return this.givingWay;
  }
}

function isFull(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}
