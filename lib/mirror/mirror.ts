/**
 * The mirror: this host's verified copies of chunks, shared by all images. It stacks the parts of this folder.
 *
 *   ensure ── here? (slot-table) ── yes: pin, publish, done, without an await
 *      └ no: one arrival per chunk (arrival.ts) ── kept under another boot: prove in place (proof.ts)
 *                └ fetch in runs (fetcher.ts) ── verified ── keep: slot, record, table (keeper.ts) ── pin, publish for each waiter
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
import type { ChunkId, ChunkReference } from '../format/references.js';
import { allowManyWaits } from '../util/abort.js';
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
import { Arrival } from './arrival.js';
import { Berth } from './berth.js';
import { Eviction } from './eviction.js';
import { Fetcher } from './fetcher.js';
import { Keeper, type BerthPlace } from './keeper.js';
import { SlotLease } from './lease.js';
import { OpenSlots } from './open-slots.js';
import { Proof } from './proof.js';
import type { Landing } from './run.js';
import type { SlotPool } from './slot-pool.js';
import { KEPT, UNPUBLISHED, UNVERIFIED } from './slot-table.js';
import { SpaceLimit } from './space-limit.js';
import { LeaseWait, PrefetchWait } from './waiters.js';
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
  private readonly keeper: Keeper;
  private readonly proof: Proof;
  private readonly fetcher: Fetcher<Arrival>;
  /** By chunk size and id: a damaged tree may give an id to chunks of two sizes. */
  private readonly arrivals = new Map<string, Arrival>();
  /** Of all arrivals: room that is as good as taken. */
  private expectedBytes: Bytes = 0;
  private readonly inserting = new Set<Promise<unknown>>();
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
    this.keeper = new Keeper({ record, eviction, limit, log });
    this.proof = new Proof({ record, eviction, log });
    this.fetcher = new Fetcher<Arrival>({
      source: options.source,
      maxRequests: options.maxRequests ?? DEFAULT_MAX_REQUESTS,
      maxBytesInFlight: options.maxBytesInFlight ?? DEFAULT_MAX_BYTES_IN_FLIGHT,
      maxFillBytesPerSecond: options.maxFillBytesPerSecond ?? null,
      log,
      land: (arrivals) => this.land(arrivals),
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
    this.send(wait, pool, missing, priority);
    try {
      await untilLeft(wait, signal);
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
    let roomBytes = freeBytes - this.expectedBytes;
    const travelling = new Set<ChunkId>();
    for (const one of wanted) {
      const { id } = one.reference;
      if (this.takeLocal(pool, map, one.chunk, id) !== undefined) {
        wait.arrived(1);
      } else if (travelling.has(id) || this.arrivals.has(arrivalKey(pool, id)) || pool.table.find(id) !== undefined) {
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
      this.send(wait, pool, missing, priority);
      await untilLeft(wait, signal);
    }
    return wait.outcome();
  }

  async insert(id: ChunkId, bytes: Uint8Array): Promise<void> {
    this.assertOpen();
    const pool = this.slots.pool(bytes.length);
    const slot = pool.table.find(id);
    const isHere = slot !== undefined && pool.table.state(slot) === KEPT;
    if (isHere || this.arrivals.has(arrivalKey(pool, id))) return;
    const reference: ChunkReference = { id, segment: '', offsetBytes: 0, storedBytes: bytes.length, codec: 'none' };
    const arrival = this.newArrival(pool, reference, 'demand', true);
    const work = this.keepLent(arrival, bytes);
    this.inserting.add(work);
    try {
      await work;
    } catch (error) {
      arrival.failed(error);
    } finally {
      this.inserting.delete(work);
      this.trim();
    }
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
    return [...this.arrivals.values()].flatMap((arrival) => arrival.chunksFor(map));
  }

  statistics(): MirrorStatistics {
    const { counts } = this.fetcher;
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
      waitingFetches: this.arrivals.size,
      damagedChunks: counts.damagedChunks,
    };
  }

  async close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    const closed = new LazydiskError('ABORTED', 'The mirror is being closed.');
    const ended = Promise.allSettled([this.fetcher.close(), this.proof.settled(), ...this.inserting]);
    for (const arrival of [...this.arrivals.values()]) arrival.failed(closed);
    await ended;
    await this.eviction.settled();
    await this.slots.close();
  }

  private trim(): void {
    if (this.closing === undefined) this.eviction.trim();
  }

  private assertOpen(): void {
    if (this.closing !== undefined) throw new LazydiskError('ABORTED', 'The mirror is being closed.');
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

  /** Lets `wait` join the arrivals of the chunks, and begins those that are not under way. */
  private send(
    wait: LeaseWait | PrefetchWait,
    pool: SlotPool,
    missing: readonly WantedChunk[],
    priority: FetchPriority,
  ): void {
    const toFetch: Arrival[] = [];
    for (const { chunk, reference } of missing) {
      const known = this.arrivals.get(arrivalKey(pool, reference.id));
      const arrival = known ?? this.newArrival(pool, reference, priority, false);
      arrival.join(wait, chunk, priority);
      wait.expect(arrival);
      if (known !== undefined) {
        this.fetcher.raise(known, priority);
        continue;
      }
      const slot = pool.table.find(reference.id);
      if (slot !== undefined && pool.table.state(slot) === UNVERIFIED) void this.prove(arrival, slot);
      else toFetch.push(arrival);
    }
    this.fetcher.request(toFetch, priority);
  }

  private newArrival(pool: SlotPool, reference: ChunkReference, priority: FetchPriority, isKept: boolean): Arrival {
    const key = arrivalKey(pool, reference.id);
    const onEnd = () => {
      this.arrivals.delete(key);
      this.expectedBytes -= pool.chunkSizeBytes;
    };
    const arrival = new Arrival(pool, reference, priority, onEnd, isKept);
    this.arrivals.set(key, arrival);
    this.expectedBytes += pool.chunkSizeBytes;
    return arrival;
  }

  private async prove(arrival: Arrival, slot: SlotNumber): Promise<void> {
    try {
      if (await this.proof.prove(arrival.pool, slot)) {
        arrival.arrived(slot, undefined);
        arrival.pool.table.unpin(slot);
        this.trim();
      } else {
        this.fetcher.request([arrival], arrival.priority);
      }
    } catch (error) {
      arrival.failed(error);
    }
  }

  /** Where the chunks of one run go. */
  private land(arrivals: readonly Arrival[]): Landing<Arrival> {
    // Nothing leaves for a run with chunks that only fill: those of it that may evict take single slots then.
    const whenFull = arrivals.some(({ priority }) => priority === 'fill') ? 'refuse' : 'evict';
    const berth = new Berth(arrivals[0]!.pool, this.eviction, arrivals.length, whenFull);
    const indexes = new Map(arrivals.map((arrival, index) => [arrival, index]));
    return {
      arrived: async (arrival, bytes) => this.keep(arrival, bytes, { berth, index: indexes.get(arrival)! }),
      end: async () => berth.leave(),
    };
  }

  /** Keeps a verified chunk and ends its arrival; resolves to whether its waiters go on using these bytes. What was fetched to fill finds free room or none. */
  private async keep(arrival: Arrival, bytes: Uint8Array, place?: BerthPlace): Promise<'in use' | 'free'> {
    const { pool, reference, priority } = arrival;
    const whenFull = priority === 'fill' ? 'refuse' : 'evict';
    const slot = await this.keeper.keep(pool, { id: reference.id, bytes }, whenFull, place);
    if (slot === undefined) {
      arrival.arrived(undefined, bytes);
      return 'in use';
    }
    arrival.arrived(slot, undefined);
    pool.table.unpin(slot);
    return 'free';
  }

  /** The same for bytes that the caller uses anew afterwards: who waits for them and gets no slot is given a copy. */
  private async keepLent(arrival: Arrival, bytes: Uint8Array): Promise<void> {
    const { pool, reference } = arrival;
    const slot = await this.keeper.keep(pool, { id: reference.id, bytes }, 'evict');
    arrival.arrived(slot, slot === undefined ? Uint8Array.from(bytes) : undefined);
    if (slot !== undefined) pool.table.unpin(slot);
  }
}

function arrivalKey(pool: SlotPool, id: ChunkId): string {
  return `${String(pool.chunkSizeBytes)}/${id}`;
}

function assertWanted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new LazydiskError('ABORTED', 'The caller did not wait for the chunks.');
}

/** Resolves when the wait is over; the signal ends it. */
async function untilLeft(wait: LeaseWait | PrefetchWait, signal: AbortSignal | undefined): Promise<void> {
  const onAbort = () => {
    wait.leaveAborted();
  };
  if (signal !== undefined) allowManyWaits(signal);
  signal?.addEventListener('abort', onAbort);
  try {
    await wait.done;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
