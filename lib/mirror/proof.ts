/**
 * Chunks that were kept under another boot: their bytes are looked at before anybody uses them.
 *
 * The host may have lost what was never synced, so the record alone proves nothing. The slot is read and hashed, under a pin. The
 * right bytes: the entry is recorded anew, and nothing is fetched. Wrong ones: the record is deleted, the slot is given back.
 * A slot that can't be read is retired, never to be used again by this process.
 */
import PQueue from 'p-queue';
import { sha256OffThread } from '../format/checksums.js';
import type { SlotNumber } from '../format/geometry.js';
import type { ChunkId } from '../format/references.js';
import { messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { Eviction } from './eviction.js';
import type { SlotPool } from './slot-pool.js';
import type { SlotRecord } from './slot-record.js';
import { UNVERIFIED } from './slot-table.js';

/** Slots that are read at once: enough for a disk's queue, and bounded memory (4 MiB each at most). */
const AT_ONCE = 8;

export class Proof {
  private readonly queue = new PQueue({ concurrency: AT_ONCE });

  constructor(private readonly parts: { record: SlotRecord; eviction: Eviction; log: Log }) {}

  /**
   * Proves the chunk in an unverified slot. True: it is `kept` now, and pinned once for the caller. False: it is not local. Call
   * once per slot. Never rejects.
   */
  async prove(pool: SlotPool, slot: SlotNumber): Promise<boolean> {
    pool.table.pin(slot);
    return (await this.queue.add(async () => this.look(pool, slot))) ?? false;
  }

  /** Resolves when nothing is being looked at. */
  async settled(): Promise<void> {
    await this.queue.onIdle();
  }

  private async look(pool: SlotPool, slot: SlotNumber): Promise<boolean> {
    const { table } = pool;
    const id = table.idOf(slot);
    try {
      const found = await sha256OffThread(await pool.file.read(slot));
      if (found !== id) {
        await this.discard(pool, slot, id, 'free');
        return false;
      }
    } catch (error) {
      this.parts.log.warn('a local chunk could not be read', { slot, error: messageOf(error) });
      await this.discard(pool, slot, id, 'retired');
      return false;
    }
    await this.parts.record.keep(pool.chunkSizeBytes, [{ id, slot }]);
    table.keep(slot, id);
    return true;
  }

  private async discard(pool: SlotPool, slot: SlotNumber, id: ChunkId, next: 'free' | 'retired'): Promise<void> {
    const { table } = pool;
    table.beginLeaving(slot);
    try {
      await this.parts.record.remove(pool.chunkSizeBytes, [id]);
      if (next === 'free') {
        table.release(slot);
        this.parts.eviction.punchRun(pool, slot, 1);
      } else {
        table.retire(slot);
      }
    } catch (error) {
      this.parts.log.error('the record of a wrong local chunk can not be deleted', { slot, error: messageOf(error) });
      table.stay(slot, UNVERIFIED);
    }
    table.unpin(slot);
  }
}
