/**
 * Opening what an earlier process left: the record into the tables, the slot files beside it, and the two made to agree.
 *
 * Every entry is read into memory once (some seconds per million chunks, about 50 bytes each); afterwards a chunk is found
 * without asking the database. Entries of another epoch, of a slot file that is not the one they were written to, or of one
 * that is too short, are `unverified`. Two entries for one slot (a database that lost its end): neither is believed. Space of
 * slots that no entry names (a process that ended between write and record) is given back. Where no entry is left at all, the
 * slots are looked at (rebuild.ts). Whenever anything was not as it
 * should be, a new epoch begins: the doubt outlives this process.
 */
import { mkdir, readdir, statfs } from 'node:fs/promises';
import { isChunkSize, type Bytes } from '../format/geometry.js';
import { LazydiskError, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { rebuild } from './rebuild.js';
import { slotFileName } from './slot-file.js';
import { SlotPool } from './slot-pool.js';
import { SlotRecord, type RecordedChunk } from './slot-record.js';
import { KEPT, UNVERIFIED } from './slot-table.js';

/** Space of unnamed slots below which it is not worth a look. */
const WORTH_PUNCHING_BYTES = 16 * 1024 * 1024;

/** How long a mount may wait for the slots to be looked at, milliseconds: some ten gigabytes. */
const REBUILD_MS = 10_000;

/** The slots of all chunk sizes, and their record. */
export class OpenSlots {
  record!: SlotRecord;
  private readonly pools = new Map<Bytes, SlotPool>();
  private strays: RecordedChunk[] = [];
  private entries = 0;

  private constructor(
    private readonly directory: string,
    private readonly diskBytes: Bytes,
    private readonly log: Log,
  ) {}

  /** BUSY: another process has this mirror. IO. */
  static async open(directory: string, bootId: string, log: Log): Promise<OpenSlots> {
    const slots = new OpenSlots(directory, await prepare(directory), log);
    slots.record = await SlotRecord.open(directory, bootId, log, () => {
      slots.pools.clear();
      slots.strays = [];
      slots.entries = 0;
      return (chunk) => {
        slots.adopt(chunk);
      };
    });
    try {
      await slots.reconcile();
      return slots;
    } catch (error) {
      await slots.close();
      throw error;
    }
  }

  /** The pool of a chunk size, with its file open. USAGE: no such chunk size. IO. */
  pool(chunkSizeBytes: Bytes): SlotPool {
    const known = this.pools.get(chunkSizeBytes);
    if (known !== undefined) return known;
    if (!isChunkSize(chunkSizeBytes)) {
      throw new LazydiskError('USAGE', `A chunk size of ${String(chunkSizeBytes)} bytes is not one of the format.`);
    }
    const pool = new SlotPool(this.directory, chunkSizeBytes, this.diskBytes);
    const file = pool.open();
    this.pools.set(chunkSizeBytes, pool);
    this.record.nameSlotFile(chunkSizeBytes, file.identity());
    return pool;
  }

  all(): Iterable<SlotPool> {
    return this.pools.values();
  }

  async close(): Promise<void> {
    for (const pool of this.pools.values()) pool.close();
    await this.record.close();
  }

  private adopt(chunk: RecordedChunk): void {
    this.entries++;
    let pool = this.pools.get(chunk.chunkSizeBytes);
    if (pool === undefined) {
      pool = new SlotPool(this.directory, chunk.chunkSizeBytes, this.diskBytes);
      this.pools.set(chunk.chunkSizeBytes, pool);
    }
    const { table } = pool;
    if (table.adopt(chunk.slot, chunk.id, chunk.trusted ? KEPT : UNVERIFIED)) return;
    if (chunk.slot < table.capacity) table.distrust(chunk.slot);
    this.strays.push(chunk);
  }

  private async reconcile(): Promise<void> {
    for (const name of await readdir(this.directory)) {
      const chunkSizeBytes = Number(name.replace(/^slots-/, ''));
      if (!isChunkSize(chunkSizeBytes) || name !== slotFileName(chunkSizeBytes)) continue;
      if (!this.pools.has(chunkSizeBytes)) {
        this.pools.set(chunkSizeBytes, new SlotPool(this.directory, chunkSizeBytes, this.diskBytes));
      }
    }
    let isWhole = this.strays.length === 0;
    for (const pool of this.pools.values()) {
      const file = pool.open();
      const isKnown = this.record.knowsSlotFile(pool.chunkSizeBytes, file.identity());
      if (isKnown && file.sizeBytes() >= pool.table.slots * pool.chunkSizeBytes) continue;
      isWhole = false;
      for (let slot = 0; slot < pool.table.slots; slot++) pool.table.distrust(slot);
    }
    if (!isWhole) this.record.beginEpoch();
    for (const pool of this.pools.values()) {
      this.record.nameSlotFile(pool.chunkSizeBytes, pool.file.identity());
      if (this.entries === 0) await this.recover(pool);
      this.giveBack(pool);
    }
    for (const { chunkSizeBytes, id } of this.strays) await this.record.remove(chunkSizeBytes, [id]);
    this.strays = [];
  }

  /** The record has no entry: it is new, or was lost. */
  private async recover(pool: SlotPool): Promise<void> {
    if (pool.file.allocatedBytes() < pool.chunkSizeBytes) return;
    const { chunks, lostSlots } = await rebuild(pool, this.record, REBUILD_MS);
    this.log.warn('local chunks were found again by their bytes', { chunks, lostSlots });
  }

  /** Best effort: the slots will be used again sooner or later. */
  private giveBack(pool: SlotPool): void {
    try {
      pool.file.cutAfter(pool.table.slots);
      if (pool.file.allocatedBytes() < pool.table.usedBytes + WORTH_PUNCHING_BYTES) return;
      for (const { first, count } of pool.table.freeRuns()) pool.file.punch(first, count);
    } catch (error) {
      this.log.warn('the space of unused slots can not be given back', { error: messageOf(error) });
    }
  }
}

/** Makes the folder; resolves to the size of its file system. */
async function prepare(directory: string): Promise<Bytes> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const { blocks, bsize } = await statfs(directory);
    return blocks * bsize;
  } catch (error) {
    throw new LazydiskError('IO', `The folder ${directory} for local chunks can't be used: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}
