/**
 * Chunks over the network: queued by priority, neighbours in one ranged GET, verified before anyone sees them.
 *
 * A quarter of the requests is for readahead, prefetch and fill, the rest for demand alone: demand waits for demand only.
 * A chunk that is queued and then asked for more urgently takes its run along to the more urgent queue (the run stands in
 * both; the first to start takes it). Bytes in flight are bounded by the cap of a run: requests times cap is the limit.
 *
 * Each chunk is decoded and hashed off the main thread. One that has a wrong checksum, or whose range the store could not give whole, is
 * fetched once more by itself; if it is wrong again it is DAMAGED, and the log names the segment. A missing segment is damage,
 * too. Other errors of the source (UNREACHABLE after its retries, REFUSED) go to whoever waits; nothing bad is remembered.
 *
 * It knows neither slots nor maps: what has arrived is handed over, run by run, and counts as in flight until that is done.
 */
import PQueue from 'p-queue';
import { sha256OffThread } from '../format/checksums.js';
import { decodePayload, isStoredSize } from '../format/codec.js';
import type { Bytes } from '../format/geometry.js';
import type { ChunkReference } from '../format/references.js';
import { hasCode, LazydiskError, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { ChunkSource, FetchPriority } from './api.js';
import { URGENCY } from './priority.js';
import { planRuns } from './runs.js';

/** Most bytes of one ranged GET. */
const MAX_RUN_BYTES = 4 * 1024 * 1024;

/** One chunk on its way, as its owner sees it. Each is ended exactly once, by `arrived` or `failed`. */
export interface Shipment {
  readonly reference: ChunkReference;
  readonly chunkSizeBytes: Bytes;
  /** Nobody waits any more: it need not be fetched if that has not begun. */
  isUnwanted(): boolean;
  failed(error: unknown): void;
}

export interface FetcherOptions<S extends Shipment> {
  readonly source: ChunkSource;
  /** At least 2. */
  readonly maxRequests: number;
  readonly maxBytesInFlight: Bytes;
  readonly log: Log;
  /** Verified chunks of one run, all of one chunk size. The run counts as in flight until it resolves. */
  readonly arrived: (chunks: readonly { shipment: S; bytes: Uint8Array }[]) => Promise<void>;
}

interface Run<S extends Shipment> {
  readonly shipments: readonly S[];
  urgency: number;
  started: boolean;
}

export class Fetcher<S extends Shipment> {
  requests = 0;
  fetchedBytes = 0;
  fetchedChunks = 0;
  damagedChunks = 0;
  private readonly demand: PQueue;
  private readonly background: PQueue;
  private readonly maxRunBytes: Bytes;
  /** Runs that have not started, by each of their shipments. */
  private readonly queued = new Map<S, Run<S>>();
  /** One controller per request that travels: a shared signal would gather too many listeners. */
  private readonly travelling = new Set<AbortController>();
  private closing = false;

  constructor(private readonly options: FetcherOptions<S>) {
    const forBackground = Math.max(1, Math.floor(options.maxRequests / 4));
    this.background = new PQueue({ concurrency: forBackground });
    this.demand = new PQueue({ concurrency: Math.max(1, options.maxRequests - forBackground) });
    this.maxRunBytes = Math.min(MAX_RUN_BYTES, Math.floor(options.maxBytesInFlight / options.maxRequests));
  }

  /** Queues chunks that are not on their way yet. */
  request(shipments: readonly S[], priority: FetchPriority): void {
    for (const things of planRuns(shipments, (shipment) => shipment.reference, this.maxRunBytes)) {
      const run: Run<S> = { shipments: things, urgency: -1, started: false };
      for (const shipment of things) this.queued.set(shipment, run);
      this.enqueue(run, URGENCY[priority]);
    }
  }

  /** A chunk that is on its way is wanted more urgently. Nothing to do when it travels already. */
  raise(shipment: S, priority: FetchPriority): void {
    const run = this.queued.get(shipment);
    if (run !== undefined && URGENCY[priority] > run.urgency) this.enqueue(run, URGENCY[priority]);
  }

  /** Aborts what travels, fails what is queued, and waits until nothing is under way. */
  async close(): Promise<void> {
    this.closing = true;
    for (const controller of this.travelling) controller.abort();
    await Promise.all([this.demand.onIdle(), this.background.onIdle()]);
  }

  private enqueue(run: Run<S>, urgency: number): void {
    run.urgency = urgency;
    const queue = urgency === URGENCY.demand ? this.demand : this.background;
    void queue.add(async () => this.start(run), { priority: urgency });
  }

  /** Never rejects. */
  private async start(run: Run<S>): Promise<void> {
    if (run.started) return;
    run.started = true;
    for (const shipment of run.shipments) this.queued.delete(shipment);
    try {
      this.assertOpen();
      if (run.shipments.every((shipment) => shipment.isUnwanted())) {
        throw new LazydiskError('ABORTED', 'Nobody waits for the chunk any more.');
      }
      await this.fetch(run.shipments);
    } catch (error) {
      for (const shipment of run.shipments) shipment.failed(error);
    }
  }

  private async fetch(shipments: readonly S[]): Promise<void> {
    const whole = await this.readRange(shipments).catch((error: unknown) => {
      if (hasCode(error, 'DAMAGED')) return undefined;
      throw error;
    });
    const bytes = whole === undefined ? shipments.map(() => undefined) : await verifiedParts(shipments, whole);
    const good = shipments.flatMap((shipment, index) => {
      const part = bytes[index];
      return part === undefined ? [] : [{ shipment, bytes: part }];
    });
    this.fetchedChunks += good.length;
    if (good.length > 0) await this.options.arrived(good);
    for (const [index, shipment] of shipments.entries()) {
      if (bytes[index] === undefined) await this.fetchAgain(shipment);
    }
  }

  private async fetchAgain(shipment: S): Promise<void> {
    const { id, segment } = shipment.reference;
    this.options.log.warn('a chunk arrived damaged and is fetched again', { segment, chunk: id });
    let cause: unknown;
    try {
      const whole = await this.readRange([shipment]);
      const [bytes] = await verifiedParts([shipment], whole);
      if (bytes !== undefined) {
        this.fetchedChunks++;
        await this.options.arrived([{ shipment, bytes }]);
        return;
      }
    } catch (error) {
      if (!hasCode(error, 'DAMAGED')) {
        shipment.failed(error);
        return;
      }
      cause = error;
    }
    this.damagedChunks++;
    this.options.log.error('a chunk is damaged in the repository', { segment, chunk: id });
    shipment.failed(
      new LazydiskError(
        'DAMAGED',
        cause === undefined
          ? `Chunk ${id} in segment ${segment} does not have its checksum, twice: run lazydisk verify.`
          : `Chunk ${id} in segment ${segment} can't be read whole (${messageOf(cause)}): run lazydisk verify.`,
        { cause, facts: { segment, chunk: id } },
      ),
    );
  }

  /** One ranged GET over neighbours. */
  private async readRange(shipments: readonly S[]): Promise<Buffer> {
    this.assertOpen();
    const first = shipments[0]!;
    const { segment, offsetBytes } = first.reference;
    let lengthBytes = 0;
    for (const { reference, chunkSizeBytes } of shipments) {
      if (!isStoredSize(reference.codec, reference.storedBytes, chunkSizeBytes)) {
        throw new LazydiskError(
          'DAMAGED',
          `a chunk of ${String(chunkSizeBytes)} bytes is said to be stored in ${String(reference.storedBytes)}`,
        );
      }
      lengthBytes += reference.storedBytes;
    }
    this.requests++;
    const controller = new AbortController();
    this.travelling.add(controller);
    const { signal } = controller;
    const read = this.options.source.read({ segment, offsetBytes, lengthBytes }, signal);
    const bytes = await untilAborted(read, signal).finally(() => this.travelling.delete(controller));
    this.fetchedBytes += bytes.length;
    if (bytes.length !== lengthBytes) {
      const came = `${String(bytes.length)} of ${String(lengthBytes)} bytes came`;
      throw new LazydiskError('DAMAGED', `${came} from segment ${segment}`);
    }
    return bytes;
  }

  private assertOpen(): void {
    if (this.closing) throw new LazydiskError('ABORTED', 'The mirror is being closed.');
  }
}

/** The decoded bytes of each shipment, undefined for those that do not decode or have a wrong checksum. */
async function verifiedParts(shipments: readonly Shipment[], whole: Buffer): Promise<(Uint8Array | undefined)[]> {
  let offset = 0;
  return Promise.all(
    shipments.map(async ({ reference, chunkSizeBytes }) => {
      const stored = whole.subarray(offset, (offset += reference.storedBytes));
      const part = await decodePayload(reference.codec, stored, chunkSizeBytes).catch(ifDamaged);
      return part !== undefined && (await sha256OffThread(part)) === reference.id ? part : undefined;
    }),
  );
}

function ifDamaged(error: unknown): undefined {
  if (!hasCode(error, 'DAMAGED')) throw error;
}

/** The outcome of `work`, or ABORTED as soon as the signal fires. NOT_FOUND of a segment is damage of the repository. */
async function untilAborted(work: Promise<Buffer>, signal: AbortSignal): Promise<Buffer> {
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(new LazydiskError('ABORTED', 'The mirror is being closed.'));
    };
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([work, aborted]);
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND') && error.facts['bucket'] === undefined) {
      throw new LazydiskError('DAMAGED', error.message, { cause: error });
    }
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
