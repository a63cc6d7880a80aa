/**
 * Chunks over the network: who waits stands in lines (waiting.ts), a pure decision says which GET starts next
 * (start-decision.ts), a run brings its chunks (run.ts). This file only asks the decision whenever something has changed, and does
 * what it says.
 *
 * What changes: chunks are asked for, or more urgently than before; bytes have come; a run has ended; the rate of the fill allows the
 * next one. It knows neither slots nor maps: what has arrived is handed to a landing, and a run counts as under way until that is
 * done, so that a slow local disk slows the fetching down.
 */
import { isStoredSize } from '../format/codec.js';
import type { Bytes } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { ChunkSource, FetchPriority } from './api.js';
import { DecodeBuffers } from './decode-buffers.js';
import { HandlingLine } from './handling-line.js';
import { FirstByteTimes } from './hedge.js';
import { LinkEstimate } from './link-estimate.js';
import { isPaced } from './priority.js';
import { RateLimit } from '../util/rate-limit.js';
import { FetchCounts, Run, type Landing, type RunParts, type Shipment } from './run.js';
import { decideStart, type LinkBounds, type LinkLoad } from './start-decision.js';
import { WaitingChunks } from './waiting.js';

/** Most stored bytes of one ranged GET. */
const MAX_RUN_BYTES = 4 * 1024 * 1024;

export interface FetcherOptions<S extends Shipment> {
  readonly source: ChunkSource;
  /** At least 2. */
  readonly maxRequests: number;
  readonly maxBytesInFlight: Bytes;
  /** Most stored bytes a second that are fetched to fill, eagerly or not; null: no limit. */
  readonly maxFillBytesPerSecond: number | null;
  readonly log: Log;
  /** Where the chunks of a run, all of one size, go when they have been verified. */
  readonly land: (shipments: readonly S[]) => Landing<S>;
}

export class Fetcher<S extends Shipment> {
  readonly counts = new FetchCounts();
  private readonly waiting = new WaitingChunks<S>();
  private readonly running = new Set<Run<S>>();
  /** Of each running one its end. */
  private readonly travelling = new Set<Promise<void>>();
  private readonly buffers = new DecodeBuffers();
  private readonly link: LinkEstimate;
  private readonly fillRate: RateLimit;
  private fillTimer: NodeJS.Timeout | undefined;
  private readonly bounds: LinkBounds;
  private readonly parts: RunParts<S>;
  /** Bytes that were asked for and have not come. */
  private awaitedBytes = 0;
  private closing = false;

  constructor(options: FetcherOptions<S>) {
    const { source, log, land, maxRequests, maxBytesInFlight } = options;
    this.bounds = {
      maxRequests,
      maxRunBytes: Math.min(MAX_RUN_BYTES, Math.floor(maxBytesInFlight / maxRequests)),
    };
    this.link = new LinkEstimate(maxBytesInFlight / 2);
    this.fillRate = new RateLimit(options.maxFillBytesPerSecond);
    const line = new HandlingLine();
    this.parts = {
      source,
      log,
      land,
      counts: this.counts,
      firstByteTimes: new FirstByteTimes(),
      buffers: this.buffers,
      handle: (work, priority) => line.handle(work, priority),
      awaited: (change) => {
        this.awaitedBytes += change;
      },
      bytesCame: (count, firstAfterMs) => {
        const nowMs = performance.now();
        if (firstAfterMs !== undefined) this.link.answered(firstAfterMs, nowMs);
        this.link.arrived(count, nowMs);
        this.startWhatMay();
      },
    };
  }

  /** Bytes that the fetcher wants to have under way: what the link holds, as far as is known. */
  get windowBytes(): Bytes {
    return this.link.windowBytes;
  }

  /** Queues chunks that are not on their way yet, and starts what may start. */
  request(shipments: readonly S[], priority: FetchPriority): void {
    for (const shipment of shipments) {
      if (this.closing) shipment.failed(closed());
      else if (isPlausible(shipment)) this.waiting.add(shipment, priority);
      else this.refuse(shipment);
    }
    this.startWhatMay();
  }

  /**
   * A chunk that is on its way is wanted more urgently. Nothing to do when it travels already. Starts nothing before the next
   * `request`, so that chunks which are raised together travel together.
   */
  raise(shipment: S, priority: FetchPriority): void {
    this.waiting.raise(shipment, priority);
  }

  /** Aborts what travels, fails what waits, and resolves when nothing is under way. */
  async close(): Promise<void> {
    this.closing = true;
    clearTimeout(this.fillTimer);
    for (const shipment of this.waiting.takeAll()) shipment.failed(closed());
    for (const run of this.running) run.abort(closed());
    await Promise.all(this.travelling);
  }

  private startWhatMay(): void {
    for (;;) {
      for (const shipment of this.waiting.takeUnwanted()) {
        shipment.failed(new LazydiskError('ABORTED', 'Nobody waits for the chunk any more.'));
      }
      const load = this.load();
      const start = this.closing ? undefined : decideStart(load, this.bounds);
      if (start === undefined) {
        if (load.awaitedBytes < load.windowBytes) this.link.ranOut();
        if (!load.mayFill && (load.waits('eager') || load.waits('fill'))) this.wakeForFill();
        return;
      }
      this.begin(this.waiting.takeRun(start.priority, start), start.priority);
    }
  }

  private load(): LinkLoad {
    return {
      requests: this.running.size,
      awaitedBytes: this.awaitedBytes,
      windowBytes: this.link.windowBytes,
      waits: (priority) => this.waiting.has(priority),
      mayFill: this.fillRate.waitMs(performance.now()) === 0,
    };
  }

  private begin(shipments: readonly S[], priority: FetchPriority): void {
    if (isPaced(priority)) {
      const bytes = shipments.reduce((sum, { reference }) => sum + reference.storedBytes, 0);
      this.fillRate.take(bytes, performance.now());
    }
    const run = new Run(shipments, priority, this.parts);
    this.running.add(run);
    const travelling = run.travel().then(() => {
      this.travelling.delete(travelling);
      this.running.delete(run);
      if (this.running.size === 0) this.link.wentIdle();
      this.startWhatMay();
      if (this.running.size === 0) this.buffers.clear();
    });
    this.travelling.add(travelling);
  }

  private refuse(shipment: S): void {
    const { id, segment, storedBytes } = shipment.reference;
    this.counts.damagedChunks++;
    this.parts.log.error('a chunk is damaged in the repository', { segment, chunk: id });
    const said = `${String(storedBytes)} bytes of segment ${segment}`;
    const what = `Chunk ${id} of ${String(shipment.chunkSizeBytes)} bytes is said to be stored in ${said}.`;
    shipment.failed(new LazydiskError('DAMAGED', what, { facts: { segment, chunk: id } }));
  }

  private wakeForFill(): void {
    clearTimeout(this.fillTimer);
    this.fillTimer = setTimeout(() => {
      this.startWhatMay();
    }, this.fillRate.waitMs(performance.now()));
  }
}

/** Whether a chunk can be stored so; the reference comes from a repository. */
function isPlausible({ reference, chunkSizeBytes }: Shipment): boolean {
  return isStoredSize(reference.codec, reference.storedBytes, chunkSizeBytes);
}

function closed(): LazydiskError {
  return new LazydiskError('ABORTED', 'The mirror is being closed.');
}
