/**
 * One run under way: its GET, a second one that may race it, and each chunk from its stored bytes to its landing.
 *
 *   bytes of a chunk are here ── decode, compare with its name ── right: landing (kept, published; readers go on)
 *                                                              └ wrong: fetched once more by itself ── wrong again: DAMAGED
 *
 * Chunks are handled while the rest of the GET goes on, and handled once: of two GETs the first that brings a chunk counts.
 * When nothing is missing any more, what still travels is aborted. A GET that gives not all of its range (DAMAGED) leaves
 * each missing chunk its second try; any other failure ends the missing ones. Every shipment ends, whatever happens.
 * When to race is decided elsewhere (hedge.ts). Bytes in memory are bounded by who starts runs, decoded ones by `handle`.
 */
import type { Bytes } from '../format/geometry.js';
import type { ChunkReference } from '../format/references.js';
import { hasCode, LazydiskError, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { ChunkSource, FetchPriority } from './api.js';
import type { DecodeBuffers } from './decode-buffers.js';
import { decideHedge, type FirstByteTimes } from './hedge.js';
import { RangedGet } from './ranged-get.js';
import { unpack } from './unpack.js';

/** One chunk on its way, as its owner sees it. It ends once: in a landing, or by `failed`. */
export interface Shipment {
  readonly reference: ChunkReference;
  readonly chunkSizeBytes: Bytes;
  /** Of who waits for it now. */
  readonly priority: FetchPriority;
  /** Nobody waits any more: it need not be fetched if that has not begun. */
  isUnwanted(): boolean;
  failed(error: unknown): void;
}

/** Where the verified chunks of one run go. */
export interface Landing<S extends Shipment> {
  /** Resolves when the shipment has ended, to whether the bytes are still in use by those who waited for them. */
  arrived(shipment: S, bytes: Uint8Array): Promise<'in use' | 'free'>;
  /** No chunk of the run comes any more. */
  end(): Promise<void>;
}

/** What runs count together. */
export class FetchCounts {
  requests = 0;
  /** That began for a reader; second ones are in `hedges` alone. */
  demandRequests = 0;
  hedges = 0;
  hedgesWon = 0;
  fetchedBytes = 0;
  fetchedChunks = 0;
  damagedChunks = 0;
  /** Stored bytes of the chunks that came, by who waited for them. */
  readonly bytesByPriority: Record<FetchPriority, Bytes> = {
    demand: 0,
    readahead: 0,
    prefetch: 0,
    eager: 0,
    fill: 0,
  };
}

/** What all runs share. */
export interface RunParts<S extends Shipment> {
  readonly source: ChunkSource;
  readonly log: Log;
  readonly counts: FetchCounts;
  /** Of GETs that readers wait for. */
  readonly firstByteTimes: FirstByteTimes;
  /** Runs the work when there is room for one more decoded chunk, the most urgent first. */
  readonly handle: <T>(work: () => Promise<T>, priority: FetchPriority) => Promise<T>;
  readonly buffers: DecodeBuffers;
  readonly land: (shipments: readonly S[]) => Landing<S>;
  /** So many more bytes are to come, fewer when negative. */
  readonly awaited: (change: Bytes) => void;
  /** Bytes have come; `firstAfterMs` with the first of a GET. */
  readonly bytesCame: (count: Bytes, firstAfterMs: number | undefined) => void;
}

export class Run<S extends Shipment> {
  private readonly landing: Landing<S>;
  private readonly gets = new Set<RangedGet<S>>();
  /** Have not ended. */
  private readonly open: Set<S>;
  /** Their bytes are here. */
  private readonly begun = new Set<S>();
  private readonly work: Promise<void>[] = [];
  private racing: Promise<void> = Promise.resolve();
  private aborted: unknown;
  /** What the run began with; another one races it. */
  private first: RangedGet<S> | undefined;
  private isRaceWon = false;

  /** `shipments` stand one after the other in a segment. `priority`: that of the line which began the run. */
  constructor(
    private readonly shipments: readonly S[],
    private readonly priority: FetchPriority,
    private readonly parts: RunParts<S>,
  ) {
    this.open = new Set(shipments);
    this.landing = parts.land(shipments);
  }

  /** Resolves when every shipment has ended. Call once; never rejects. */
  async travel(): Promise<void> {
    if (this.priority === 'demand') this.parts.counts.demandRequests++;
    const get = this.begin(this.shipments);
    const stopWatching = this.priority === 'demand' ? this.watch(get) : undefined;
    const failure = await this.outcomeOf(get);
    stopWatching?.();
    await this.racing;
    await Promise.all(this.work);
    for (const shipment of [...this.open]) {
      if (failure === undefined || hasCode(failure, 'DAMAGED')) await this.tryAgain(shipment);
      else this.fail(shipment, failure);
    }
    await this.landing.end();
  }

  /** Ends what travels; the shipments fail with `error`. */
  abort(error: unknown): void {
    this.aborted = error;
    for (const get of this.gets) get.abort();
  }

  private begin(shipments: readonly S[]): RangedGet<S> {
    const { source, counts, awaited, bytesCame, firstByteTimes } = this.parts;
    counts.requests++;
    const get = new RangedGet(source, shipments, {
      awaited,
      bytes: (count, firstAfterMs) => {
        counts.fetchedBytes += count;
        if (firstAfterMs !== undefined && this.priority === 'demand') firstByteTimes.add(firstAfterMs);
        bytesCame(count, firstAfterMs);
      },
      chunk: (shipment, stored) => {
        if (this.begun.has(shipment)) return;
        this.begun.add(shipment);
        if (get !== this.first && !this.isRaceWon) {
          this.isRaceWon = true;
          counts.hedgesWon++;
        }
        this.work.push(this.handle(shipment, stored));
      },
    });
    this.first ??= get;
    this.gets.add(get);
    return get;
  }

  /** Why the GET failed, undefined when it did not. */
  private async outcomeOf(get: RangedGet<S>): Promise<unknown> {
    try {
      await get.read();
      return undefined;
    } catch (error) {
      return this.aborted ?? error;
    } finally {
      this.gets.delete(get);
    }
  }

  /** Races the GET once when it is silent for too long. The returned function ends the watch. */
  private watch(get: RangedGet<S>): () => void {
    const { counts, firstByteTimes } = this.parts;
    let timer: NodeJS.Timeout | undefined;
    let turn: NodeJS.Immediate | undefined;
    const look = (isSure: boolean) => {
      const unusualMs = firstByteTimes.unusualMs();
      const decision = decideHedge(get.silentMs(), unusualMs, counts.demandRequests, counts.hedges);
      if (decision.do === 'look-again') {
        timer = setTimeout(() => {
          look(false);
        }, decision.afterMs);
      } else if (decision.do === 'hedge') {
        if (isSure) this.race();
        // It may have been this thread that was busy: what has come meanwhile is read first.
        else
          turn = setImmediate(() => {
            look(true);
          });
      }
    };
    look(false);
    return () => {
      clearTimeout(timer);
      clearImmediate(turn);
    };
  }

  /** Asks once more for what readers wait for and is not here. */
  private race(): void {
    const awaited = (shipment: S) => shipment.priority === 'demand' && !this.begun.has(shipment);
    const missing = this.shipments.slice(this.shipments.findIndex(awaited), this.shipments.findLastIndex(awaited) + 1);
    if (missing.length === 0) return;
    this.parts.counts.hedges++;
    this.racing = this.outcomeOf(this.begin(missing)).then(() => undefined);
  }

  /** The stored bytes of a chunk are here. Never rejects. */
  private async handle(shipment: S, stored: Buffer): Promise<void> {
    const landed = await this.landIfRight(shipment, stored);
    if (landed === 'wrong') await this.tryAgain(shipment);
  }

  /** A chunk that came wrong, or not at all because its range was not whole: once more, by itself. Never rejects. */
  private async tryAgain(shipment: S): Promise<void> {
    const { id, segment } = shipment.reference;
    this.parts.log.warn('a chunk arrived damaged and is fetched again', { segment, chunk: id });
    let stored: Buffer | undefined;
    this.parts.counts.requests++;
    const get = new RangedGet(this.parts.source, [shipment], {
      awaited: this.parts.awaited,
      bytes: (count, firstAfterMs) => {
        this.parts.counts.fetchedBytes += count;
        this.parts.bytesCame(count, firstAfterMs);
      },
      chunk: (_, bytes) => (stored = bytes),
    });
    this.gets.add(get);
    const failure = await this.outcomeOf(get);
    if (failure !== undefined && !hasCode(failure, 'DAMAGED')) {
      this.fail(shipment, failure);
      return;
    }
    if (stored !== undefined && (await this.landIfRight(shipment, stored)) !== 'wrong') return;
    this.parts.counts.damagedChunks++;
    this.parts.log.error('a chunk is damaged in the repository', { segment, chunk: id });
    this.fail(shipment, damagedTwice(shipment.reference, failure));
  }

  /** Never rejects. */
  private async landIfRight(shipment: S, stored: Buffer): Promise<'landed' | 'failed' | 'wrong'> {
    try {
      const isRight = await this.parts.handle(() => this.unpackAndLand(shipment, stored), shipment.priority);
      if (!isRight) return 'wrong';
      this.ended(shipment);
      return 'landed';
    } catch (error) {
      this.fail(shipment, error);
      return 'failed';
    }
  }

  /** Whether the stored bytes were the chunk. Its memory is used again, but for bytes that somebody reads from it. */
  private async unpackAndLand(shipment: S, stored: Buffer): Promise<boolean> {
    const { buffers, counts } = this.parts;
    const { reference, chunkSizeBytes, priority } = shipment;
    const memory = buffers.take(chunkSizeBytes);
    const bytes = await unpack(reference, chunkSizeBytes, stored, memory);
    if (bytes !== undefined) {
      counts.fetchedChunks++;
      counts.bytesByPriority[priority] += stored.length;
      if ((await this.landing.arrived(shipment, bytes)) === 'in use') return true;
    }
    buffers.giveBack(memory);
    return bytes !== undefined;
  }

  private fail(shipment: S, error: unknown): void {
    shipment.failed(error);
    this.ended(shipment);
  }

  private ended(shipment: S): void {
    this.open.delete(shipment);
    if (this.open.size === 0) for (const get of this.gets) get.abort();
  }
}

function damagedTwice({ id, segment }: ChunkReference, cause: unknown): LazydiskError {
  return new LazydiskError(
    'DAMAGED',
    cause === undefined
      ? `Chunk ${id} in segment ${segment} does not have its checksum, twice: run lazydisk verify.`
      : `Chunk ${id} in segment ${segment} can't be read whole (${messageOf(cause)}): run lazydisk verify.`,
    { cause, facts: { segment, chunk: id } },
  );
}
