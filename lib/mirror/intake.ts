/**
 * The way of a chunk that is not here: joined when it travels already, else proved in its old slot, else fetched; then kept.
 *
 *   request ── travelling? (arrivals.ts) ── yes: join, and hurry it up
 *      ├ kept under another boot: prove in place (proof.ts) ── wrong bytes: fetch
 *      └ fetch in runs (fetcher.ts) ── verified ── keep: slot, record, table (keeper.ts)
 *
 * However it came, an arrival ends while its slot is pinned, and the pin is given back in the same turn: in between each waiter
 * has published the chunk, and pinned it for itself if it wants to. A chunk that can't be kept still arrives, as bytes.
 * What is fetched to fill finds free room or none; for all else older chunks leave.
 */
import type { ChunkReference } from '../format/references.js';
import type { SlotNumber } from '../format/geometry.js';
import type { FetchPriority, WantedChunk } from './api.js';
import type { Arrival } from './arrival.js';
import { Arrivals } from './arrivals.js';
import { Berth } from './berth.js';
import type { Eviction, WhenFull } from './eviction.js';
import { Fetcher, type FetcherOptions } from './fetcher.js';
import type { Keeper, BerthPlace } from './keeper.js';
import type { Proof } from './proof.js';
import type { FetchCounts, Landing } from './run.js';
import type { SlotPool } from './slot-pool.js';
import { UNVERIFIED } from './slot-table.js';
import type { LeaseWait, PrefetchWait } from './waiters.js';

export interface IntakeParts {
  readonly eviction: Eviction;
  readonly keeper: Keeper;
  readonly proof: Proof;
  readonly fetching: Omit<FetcherOptions<Arrival>, 'land'>;
  /** Chunks have come to stay, perhaps above the quota. */
  readonly onKept: () => void;
}

export class Intake {
  readonly arrivals = new Arrivals();
  private readonly fetcher: Fetcher<Arrival>;
  private readonly inserting = new Set<Promise<unknown>>();

  constructor(private readonly parts: IntakeParts) {
    this.fetcher = new Fetcher<Arrival>({ ...parts.fetching, land: (arrivals) => this.land(arrivals) });
  }

  get counts(): FetchCounts {
    return this.fetcher.counts;
  }

  /** Lets `wait` join the arrivals of the chunks, and begins those that are not under way. */
  request(
    wait: LeaseWait | PrefetchWait,
    pool: SlotPool,
    missing: readonly WantedChunk[],
    priority: FetchPriority,
  ): void {
    const toFetch: Arrival[] = [];
    for (const { chunk, reference } of missing) {
      const known = this.arrivals.find(pool, reference.id);
      const arrival = known ?? this.arrivals.begin(pool, reference, priority);
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

  /**
   * Keeps a chunk that is neither here nor on its way, and of which the caller has the bytes, as an arrival that others may join. The
   * bytes are the caller's again when this resolves. Never rejects: a chunk that can't be kept is not.
   */
  async insert(pool: SlotPool, id: ChunkReference['id'], bytes: Uint8Array): Promise<void> {
    const reference: ChunkReference = { id, segment: '', offsetBytes: 0, storedBytes: bytes.length, codec: 'none' };
    const arrival = this.arrivals.begin(pool, reference, 'demand', true);
    const work = this.keepLent(arrival, bytes);
    this.inserting.add(work);
    try {
      await work;
    } catch (error) {
      arrival.failed(error);
    } finally {
      this.inserting.delete(work);
      this.parts.onKept();
    }
  }

  /** Every arrival fails with `reason`; resolves when nothing is under way. Nothing may be asked for any more. */
  async close(reason: unknown): Promise<void> {
    const ended = Promise.allSettled([this.fetcher.close(), this.parts.proof.settled(), ...this.inserting]);
    this.arrivals.fail(reason);
    await ended;
  }

  private async prove(arrival: Arrival, slot: SlotNumber): Promise<void> {
    try {
      if (await this.parts.proof.prove(arrival.pool, slot)) {
        arrival.arrived(slot, undefined);
        arrival.pool.table.unpin(slot);
        this.parts.onKept();
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
    const whenFull = arrivals.map(whenFullFor).find((policy) => policy === 'refuse') ?? 'evict';
    const berth = new Berth(arrivals[0]!.pool, this.parts.eviction, arrivals.length, whenFull);
    const indexes = new Map(arrivals.map((arrival, index) => [arrival, index]));
    return {
      arrived: async (arrival, bytes) => this.keep(arrival, bytes, { berth, index: indexes.get(arrival)! }),
      end: async () => berth.leave(),
    };
  }

  /** Keeps a verified chunk and ends its arrival; resolves to whether its waiters go on using these bytes. */
  private async keep(arrival: Arrival, bytes: Uint8Array, place: BerthPlace): Promise<'in use' | 'free'> {
    const { pool, reference } = arrival;
    const slot = await this.parts.keeper.keep(pool, { id: reference.id, bytes }, whenFullFor(arrival), place);
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
    const slot = await this.parts.keeper.keep(pool, { id: reference.id, bytes }, 'evict');
    arrival.arrived(slot, slot === undefined ? Uint8Array.from(bytes) : undefined);
    if (slot !== undefined) pool.table.unpin(slot);
  }
}

function whenFullFor({ priority }: Arrival): WhenFull {
  return priority === 'fill' ? 'refuse' : 'evict';
}
