/**
 * The record of which chunks are local: LevelDB, chunk id -> slot, over the trust marker.
 *
 * What must hold at every moment, so that a process killed at any point leaves nothing wrong behind: an entry of the trusted
 * epoch names a slot that holds exactly this chunk, whole. Hence the order of the callers (slots are filled before they are
 * recorded; a record is deleted, and that awaited, before its slot is punched or reused), and hence what happens when
 * LevelDB can't write (a full disk: deleting needs space, too): the marker is removed, so that no entry is trusted by the
 * next open, and this process goes on with what it knows in memory. `remove` rejects only when even that failed; then the
 * slot must stay as it is.
 *
 * Nothing is synced: the bytes of the slots are not either, and another boot id begins a new epoch. A database that LevelDB
 * refuses is removed and begun anew; what it said is found out from the slots (rebuild.ts).
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isChunkSize, type Bytes, type SlotNumber } from '../format/geometry.js';
import type { ChunkId } from '../format/references.js';
import { hasCode, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import { LocalDatabase, type DatabaseOperation } from './local-database.js';
import { EPOCH_BYTES, TrustMarker } from './trust-marker.js';

const PREFIX = 'chunk/';
const VALUE_BYTES = 4 + EPOCH_BYTES;

/** One entry as `SlotRecord.open` found it. */
export interface RecordedChunk {
  readonly chunkSizeBytes: Bytes;
  readonly id: ChunkId;
  readonly slot: SlotNumber;
  /** Written in the epoch that the marker names. */
  readonly trusted: boolean;
}

export class SlotRecord {
  private constructor(
    private readonly database: LocalDatabase,
    private readonly marker: TrustMarker,
    private readonly log: Log,
  ) {}

  /** Entries for the next write, and its end. */
  private gathering: { operations: DatabaseOperation[]; written: Promise<void> } | undefined;
  private writing: Promise<void> = Promise.resolve();
  /** A write has failed: the log of the database may hide later deletes from the next open. */
  private suspicious = false;

  /**
   * Opens the record in `directory` and shows every entry to a visitor. `begin` makes the visitor; it is called again when
   * the database proves damaged on the way and an empty one takes its place. BUSY, IO.
   */
  static async open(
    directory: string,
    bootId: string,
    log: Log,
    begin: () => (chunk: RecordedChunk) => void,
  ): Promise<SlotRecord> {
    const path = join(directory, 'record');
    const marker = TrustMarker.read(directory, bootId);
    let database: LocalDatabase;
    try {
      database = await openAndRead(path, marker.epoch, begin());
    } catch (error) {
      if (hasCode(error, 'BUSY', 'IO')) throw error;
      log.warn('the record of local chunks is damaged and is made anew', { path, error: messageOf(error) });
      await rm(path, { recursive: true, force: true });
      database = await openAndRead(path, marker.epoch, begin());
    }
    return new SlotRecord(database, marker, log);
  }

  /** Whether this is the slot file to which the trusted entries of this size belong. */
  knowsSlotFile(chunkSizeBytes: Bytes, identity: string): boolean {
    return this.marker.slotFileIdentity(chunkSizeBytes) === identity;
  }

  /** No entry that is there now is trusted by a later open, until it is kept again. */
  beginEpoch(): void {
    this.marker.beginEpoch();
  }

  /** Says which file holds the chunks of this size, before the first of them is kept. */
  nameSlotFile(chunkSizeBytes: Bytes, identity: string): void {
    this.marker.setSlotFileIdentity(chunkSizeBytes, identity);
    if (this.suspicious) return;
    try {
      this.marker.write();
    } catch (error) {
      // The older marker does not know this file: its chunks are verified after the next start.
      this.log.warn('the trust marker of the mirror can not be written', { error: messageOf(error) });
    }
  }

  /**
   * Records chunks that now are, whole and verified, in their slots. Those that can't be recorded are no error: they are
   * forgotten when the process ends. What comes while a write is under way is written together after it.
   */
  async keep(chunkSizeBytes: Bytes, chunks: readonly { id: ChunkId; slot: SlotNumber }[]): Promise<void> {
    this.gathering ??= this.writeAfter(this.writing);
    const { operations, written } = this.gathering;
    const epoch = this.marker.epoch;
    for (const { id, slot } of chunks) {
      const value = Buffer.alloc(VALUE_BYTES);
      value.writeUInt32LE(slot, 0);
      epoch.copy(value, 4);
      operations.push({ type: 'put', key: keyOf(chunkSizeBytes, id), value });
    }
    await written;
  }

  /**
   * Deletes the entries; when it resolves, no later open believes them, and their slots may be punched or reused. It rejects
   * only when that can't be promised.
   */
  async remove(chunkSizeBytes: Bytes, ids: readonly ChunkId[]): Promise<void> {
    const operations = ids.map((id) => ({ type: 'delete', key: keyOf(chunkSizeBytes, id) }) as const);
    await this.database.batch(operations).catch((error: unknown) => this.suspect(error));
    if (this.suspicious) this.marker.remove();
  }

  async close(): Promise<void> {
    await this.database.close();
  }

  private writeAfter(before: Promise<void>): { operations: DatabaseOperation[]; written: Promise<void> } {
    const operations: DatabaseOperation[] = [];
    const written = before.then(async () => {
      this.gathering = undefined;
      await this.database.batch(operations).catch((error: unknown) => {
        this.suspect(error);
      });
    });
    this.writing = written;
    return { operations, written };
  }

  private suspect(error: unknown): void {
    if (!this.suspicious) {
      this.log.error('the record of local chunks can not be written; after the next start they will be verified', {
        error: messageOf(error),
      });
    }
    this.suspicious = true;
  }
}

async function openAndRead(path: string, epoch: Buffer, visit: (chunk: RecordedChunk) => void): Promise<LocalDatabase> {
  const database = await LocalDatabase.open(path);
  try {
    for await (const [key, value] of database.entries(PREFIX)) {
      const chunk = decode(key, value, epoch);
      if (chunk !== undefined) visit(chunk);
    }
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

function keyOf(chunkSizeBytes: Bytes, id: ChunkId): string {
  return `${PREFIX}${String(chunkSizeBytes)}/${id}`;
}

/** undefined: not an entry that this version wrote; it is ignored. */
function decode(key: string, value: Buffer, epoch: Buffer): RecordedChunk | undefined {
  const [, size = '', id = ''] = key.split('/');
  const chunkSizeBytes = Number(size);
  if (!isChunkSize(chunkSizeBytes) || !/^[0-9a-f]{64}$/.test(id) || value.length !== VALUE_BYTES) return undefined;
  return { chunkSizeBytes, id, slot: value.readUInt32LE(0), trusted: value.subarray(4).equals(epoch) };
}
