/**
 * How a chunk enters: verified bytes go to a slot, then into the record, then into the table; only then may a map name it.
 *
 *   1. Whatever chunk of the same name is still leaving is waited for: its record must be gone before the new one is written.
 *   2. Room is reserved (eviction.ts), then neighbouring slots are allocated in the same turn.
 *   3. The bytes are written to the slots. Free slots have no record: theirs was deleted, and that awaited, before they were free.
 *   4. The record is written, and awaited.
 *   5. The table says `kept`, and the slot is pinned for the caller, which publishes it and unpins.
 * A full disk makes the mirror give way and tries once more. A slot in which the disk fails is retired. A chunk that can't be
 * kept is no error: the caller serves its bytes without a slot.
 */
import type { SlotNumber } from '../format/geometry.js';
import type { ChunkId } from '../format/references.js';
import { errnoOf, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
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

export class Keeper {
  /** The last write failed: said once, until one succeeds. */
  private failing = false;

  constructor(
    private readonly parts: {
      readonly record: SlotRecord;
      readonly eviction: Eviction;
      readonly limit: SpaceLimit;
      readonly log: Log;
    },
  ) {}

  /**
   * Keeps chunks that nobody else is keeping. Resolves to a pinned slot each, or undefined for those
   * that could not be kept. The bytes must not change meanwhile.
   */
  async keep(
    pool: SlotPool,
    chunks: readonly VerifiedChunk[],
    whenFull: WhenFull,
  ): Promise<(SlotNumber | undefined)[]> {
    const { table } = pool;
    const { record, eviction, limit } = this.parts;
    const found = await Promise.all(chunks.map(async ({ id }) => this.settle(pool, id)));
    const missing = chunks.filter((_, index) => found[index] === 'missing');

    const bytes = missing.length * pool.chunkSizeBytes;
    const hasRoom = missing.length > 0 && (await eviction.reserve(bytes, whenFull).catch(() => false));
    const slots: (SlotNumber | undefined)[] = hasRoom ? table.allocate(missing.length) : [];
    eviction.unreserve(bytes);
    limit.wrote(bytes);

    let givingWay: Promise<unknown> | undefined;
    const giveWay = () =>
      (givingWay ??= whenFull === 'evict' ? eviction.giveWay(Math.max(GIVE_WAY_BYTES, bytes)) : Promise.resolve(0));
    const filled = await Promise.all(
      missing.map(async (chunk, index) => this.fill(pool, slots[index], chunk.bytes, giveWay)),
    );
    const kept = missing.flatMap(({ id }, index) => {
      const slot = filled[index];
      return slot === undefined ? [] : [{ id, slot }];
    });
    if (kept.length > 0) await record.keep(pool.chunkSizeBytes, kept);
    for (const { id, slot } of kept) {
      table.keep(slot, id);
      table.pin(slot);
      pool.file.referenced[slot] = 0; // its first use will set it; what is never used leaves first
    }
    const rest = filled.values();
    return found.map((state) => (state === 'missing' ? rest.next().value : state));
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

  /** The slot when it holds the bytes; otherwise it has been given back. Never rejects. */
  private async fill(
    pool: SlotPool,
    slot: SlotNumber | undefined,
    bytes: Uint8Array,
    giveWay: () => Promise<unknown>,
  ): Promise<SlotNumber | undefined> {
    if (slot === undefined) return undefined;
    try {
      await pool.file.write(slot, bytes).catch(async (error: unknown) => {
        if (!isFull(error)) throw error;
        await giveWay();
        await pool.file.write(slot, bytes);
      });
      this.failing = false;
      return slot;
    } catch (error) {
      if (!this.failing) this.parts.log.warn('chunks can not be kept locally', { slot, error: messageOf(error) });
      this.failing = true;
      if (isFull(error)) {
        this.parts.eviction.punchRun(pool, slot, 1);
        pool.table.release(slot);
      } else {
        pool.table.retire(slot);
      }
      return undefined;
    }
  }
}

function isFull(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}
