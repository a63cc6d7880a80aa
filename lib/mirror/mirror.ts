/**
 * The mirror: this host's verified copies of chunks, shared by all images. It stacks the parts of this folder.
 *
 *   ensure ── here? (slot-table.ts) ── yes: pin, publish, done, without an await
 *      └ no: one arrival per chunk, whose way intake.ts tells ── pin, publish for each waiter (waiters.ts)
 *   eviction.ts lets slots leave; open-slots.ts finds again what an earlier process kept.
 *
 * What holds:
 *   - A chunk enters only whole and verified. A map names a slot only while the slot is `kept`.
 *   - One slot per chunk, one fetch per chunk, however many maps and callers ask.
 *   - `prefetch` goes the same way without a lease; what is fetched to fill never lets anything else leave.
 *   - A lease holds its slots in place, above the quota if need be; when it is released, eviction brings the mirror down.
 *   - A chunk that is asked for while it leaves is rescued as long as nothing of it was touched; later it is fetched anew, and
 *     kept only when the old record is gone.
 *   - Everything here is disposable: damage is removed and fetched again, never repaired.
 * What it does not do: decide what to read ahead or to prefetch (its callers do), retrying of a store that is away (a decorator
 * of the source).
 */
import type { Bytes, ChunkNumber, SlotNumber } from '../format/geometry.js';
import type { ChunkId } from '../format/references.js';
import { LazydiskError } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type {
  ChunkSource,
  FetchPriority,
  Lease,
  Mirror,
  MirrorStatistics,
  PrefetchOutcome,
  PrefetchPriority,
  SlotFile,
  SlotMap,
  WantedChunk,
} from './api.js';
import { FIRST_SLOT, SLOT_UNKNOWN } from './api.js';
import { Eviction } from './eviction.js';
import { Intake } from './intake.js';
import { Keeper } from './keeper.js';
import { SlotLease } from './lease.js';
import { OpenSlots } from './open-slots.js';
import { Proof } from './proof.js';
import type { SlotPool } from './slot-pool.js';
import { KEPT, UNPUBLISHED } from './slot-table.js';
import { SpaceLimit } from './space-limit.js';
import { LeaseWait, notAwaited, PrefetchWait } from './waiters.js';
import type { WorkerFence } from './worker-fence.js';

const DEFAULT_MAX_REQUESTS = 48;
const DEFAULT_MAX_BYTES_IN_FLIGHT = 96 * 1024 * 1024;

export interface MirrorOptions {
  /** Belongs to this mirror alone; created with mode 0700. */
  readonly directory: string;
  /** Most bytes of slots; null keeps 10 % of the file system free. */
  readonly quotaBytes: Bytes | null;
  /** Changes when the host may have lost what was not synced. */
  readonly bootId: string;
  readonly source: ChunkSource;
  readonly fence: WorkerFence;
  readonly log: Log;
  /** Ranged GETs at once, at least 2; a quarter of them is for demand alone. Default 48. */
  readonly maxRequests?: number;
  /** Bytes of ranged GETs at once, as long as one chunk per request fits. Default 96 MiB. */
  readonly maxBytesInFlight?: Bytes;
  /** Most stored bytes a second that are fetched with the priorities `eager` and `fill`. null, the default: what the link gives. */
  readonly maxFillBytesPerSecond?: number | null;
}

/** Opens the mirror in its directory, with what an earlier process kept. BUSY: another process has it. IO. */
export async function openMirror(options: MirrorOptions): Promise<Mirror> {
  return new LocalMirror(options, await OpenSlots.open(options.directory, options.bootId, options.log));
}

class LocalMirror implements Mirror {
  private readonly eviction: Eviction;
  private readonly intake: Intake;
  private closing: Promise<void> | undefined;

  constructor(
    private readonly options: MirrorOptions,
    private readonly slots: OpenSlots,
  ) {
    const { fence, log } = options;
    const record = slots.record;
    const limit = new SpaceLimit(options.directory, options.quotaBytes);
    const eviction = new Eviction({ pools: () => slots.all(), record, limit, fence, log });
    this.eviction = eviction;
    this.intake = new Intake({
      eviction,
      keeper: new Keeper({ record, eviction, limit, log }),
      proof: new Proof({ record, eviction, log }),
      fetching: {
        source: options.source,
        maxRequests: options.maxRequests ?? DEFAULT_MAX_REQUESTS,
        maxBytesInFlight: options.maxBytesInFlight ?? DEFAULT_MAX_BYTES_IN_FLIGHT,
        maxFillBytesPerSecond: options.maxFillBytesPerSecond ?? null,
        log,
      },
      onKept: () => {
        this.trim();
      },
    });
  }

  slotFile(chunkSizeBytes: Bytes): SlotFile {
    return this.slots.pool(chunkSizeBytes).file;
  }

  createMap(chunkSizeBytes: Bytes, chunks: number): SlotMap {
    return this.slots.pool(chunkSizeBytes).maps.create(chunks);
  }

  releaseMap(map: SlotMap): void {
    this.slots.pool(map.chunkSizeBytes).maps.forget(map);
  }

  markZero(map: SlotMap, chunks: Iterable<ChunkNumber>): void {
    const { maps } = this.slots.pool(map.chunkSizeBytes);
    for (const chunk of chunks) maps.markZero(map, chunk);
  }

  async publishLocal(map: SlotMap, wanted: readonly WantedChunk[]): Promise<void> {
    const { table, maps } = this.slots.pool(map.chunkSizeBytes);
    for (const { chunk, reference } of wanted) {
      const slot = table.find(reference.id);
      if (slot === undefined || table.state(slot) !== KEPT) continue;
      table.probation.wantedAgain(slot);
      maps.publish(map, chunk, slot);
    }
  }

  async ensure(
    map: SlotMap,
    wanted: readonly WantedChunk[],
    priority: FetchPriority,
    signal?: AbortSignal,
  ): Promise<Lease> {
    this.assertOpen();
    assertWanted(signal);
    const pool = this.slots.pool(map.chunkSizeBytes);
    const lease = new SlotLease(pool.table, () => {
      this.trim();
    });
    const missing = wanted.filter(({ chunk, reference }) => {
      const slot = this.takeLocal(pool, map, chunk, reference.id);
      if (slot !== undefined) lease.hold(slot);
      return slot === undefined;
    });
    if (missing.length === 0) return lease;

    const wait = new LeaseWait(map, lease);
    this.intake.request(wait, pool, missing, priority);
    try {
      await wait.over(signal);
      return lease;
    } catch (error) {
      lease.release();
      throw error;
    }
  }

  async prefetch(
    map: SlotMap,
    wanted: readonly WantedChunk[],
    priority: PrefetchPriority,
    signal?: AbortSignal,
  ): Promise<PrefetchOutcome> {
    this.assertOpen();
    assertWanted(signal);
    const pool = this.slots.pool(map.chunkSizeBytes);
    const freeBytes = priority === 'fill' ? await this.eviction.freeBytes() : Number.POSITIVE_INFINITY;
    this.assertOpen();
    assertWanted(signal);

    const wait = new PrefetchWait(map);
    const missing: WantedChunk[] = [];
    const { arrivals } = this.intake;
    let roomBytes = freeBytes - arrivals.expectedBytes;
    const travelling = new Set<ChunkId>();
    for (const one of wanted) {
      const { id } = one.reference;
      if (this.takeLocal(pool, map, one.chunk, id) !== undefined) {
        wait.arrived(1);
      } else if (travelling.has(id) || arrivals.find(pool, id) !== undefined || pool.table.find(id) !== undefined) {
        missing.push(one);
      } else if (roomBytes >= pool.chunkSizeBytes) {
        roomBytes -= pool.chunkSizeBytes;
        travelling.add(id);
        missing.push(one);
      } else {
        wait.refused(1);
      }
    }
    if (missing.length > 0) {
      this.intake.request(wait, pool, missing, priority);
      await wait.over(signal);
    }
    return wait.outcome();
  }

  async insert(id: ChunkId, bytes: Uint8Array): Promise<void> {
    this.assertOpen();
    const pool = this.slots.pool(bytes.length);
    const slot = pool.table.find(id);
    const isHere = slot !== undefined && pool.table.state(slot) === KEPT;
    if (isHere || this.intake.arrivals.find(pool, id) !== undefined) return;
    await this.intake.insert(pool, id, bytes);
  }

  readSlot(chunkSizeBytes: Bytes, slot: SlotNumber, offset: number, target: Uint8Array): void {
    const pool = this.slots.pool(chunkSizeBytes);
    pool.file.referenced[slot] = 1;
    try {
      pool.file.readSync(slot, offset, target);
    } catch (error) {
      if (this.closing === undefined) this.eviction.retire(pool, slot);
      throw error;
    }
  }

  retire(map: SlotMap, chunk: ChunkNumber): void {
    const word = map.words[chunk] ?? SLOT_UNKNOWN;
    if (word >= FIRST_SLOT && this.closing === undefined) {
      this.eviction.retire(this.slots.pool(map.chunkSizeBytes), word - FIRST_SLOT);
    }
  }

  async giveWay(bytes: Bytes): Promise<number> {
    this.assertOpen();
    return this.eviction.giveWay(bytes);
  }

  underWay(map: SlotMap): ChunkNumber[] {
    return this.intake.arrivals.chunksFor(map);
  }

  statistics(): MirrorStatistics {
    const { counts, arrivals } = this.intake;
    return {
      localBytes: this.eviction.localBytes(),
      quotaBytes: this.options.quotaBytes,
      fetchedBytes: counts.fetchedBytes,
      fetchedChunks: counts.fetchedChunks,
      fetchRequests: counts.requests,
      fetchedBytesByPriority: { ...counts.bytesByPriority },
      hedges: counts.hedges,
      hedgesWon: counts.hedgesWon,
      evictedChunks: this.eviction.evictedChunks,
      waitingFetches: arrivals.count,
      damagedChunks: counts.damagedChunks,
    };
  }

  async close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    await this.intake.close(beingClosed());
    await this.eviction.settled();
    await this.slots.close();
  }

  private trim(): void {
    if (this.closing === undefined) this.eviction.trim();
  }

  private assertOpen(): void {
    if (this.closing !== undefined) throw beingClosed();
  }

  /** The slot in which the chunk is, proven and now published. Synchronous: nothing leaves before the caller has pinned it. */
  private takeLocal(pool: SlotPool, map: SlotMap, chunk: ChunkNumber, id: ChunkId): SlotNumber | undefined {
    const slot = pool.table.find(id);
    if (slot === undefined) return undefined;
    const state = pool.table.state(slot);
    if (state === UNPUBLISHED) pool.table.rescue(slot);
    else if (state !== KEPT) return undefined;
    pool.maps.publish(map, chunk, slot);
    return slot;
  }
}

function assertWanted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw notAwaited();
}

function beingClosed(): LazydiskError {
  return new LazydiskError('ABORTED', 'The mirror is being closed.');
}
