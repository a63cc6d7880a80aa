/**
 * Builds one snapshot: chunks into segments, nodes on top, nothing visible until the caller publishes the record.
 *
 * The way of a chunk: put → hashed → decided, in the order of the puts (chunk-decisions.ts): it has a place, or it is new →
 * coded, several at once → placed, in the order of the puts (chunk-placer.ts) → uploaded with its segment → recorded as known. So
 * reading, coding and uploading go on side by side. Hashing is this thread's work, a chunk a turn: on another thread it would
 * cost a copy and two switches, which take longer than the hash (docs/decisions/0020-commit.md).
 *
 * Memory is bounded: `put` waits while too much is between put and coded, or between coded and durable (backlog.ts). The
 * first error ends everything: later calls reject with it.
 *
 * Shrinking to a size inside a chunk that is not put: the rest of that chunk is made zero here, so that growing again can
 * never show old bytes.
 */
import PQueue from 'p-queue';
import { isZero } from '../format/checksums.js';
import { chunkCount, type Bytes, type ChunkNumber } from '../format/geometry.js';
import { ZSTD_FEATURE } from '../format/json.js';
import type { Codec } from '../format/references.js';
import type { ObjectStore } from '../store/object-store.js';
import { LazydiskError } from '../util/errors.js';
import type { SnapshotWriter, SnapshotWriterOptions, WrittenSnapshot } from './api.js';
import { Backlog } from './backlog.js';
import { decideChunks, putChunk, type PutChunk, type SettledChunk } from './chunk-decisions.js';
import { ChunkPlacer, type CodedChunk } from './chunk-placer.js';
import { NodeWriter } from './node-writer.js';
import type { Reliance } from './reliance.js';
import { SEGMENT_TARGET_BYTES, SegmentWriter, type UploadedPayload } from './segment-writer.js';
import { assertPut, assertWriterOptions } from './snapshot-arguments.js';
import { TreeBuilder } from './tree-builder.js';
import { fetchVerified } from './verified-fetch.js';

/** Uploads at once, of up to 8 MiB each. */
const PARALLEL_UPLOADS = 8;
/** Enough plain chunks to keep the coders busy, few enough to stay in the processor's cache. Zeros hold no bytes. */
const BOUNDS = {
  plainBytes: 16 * 1024 * 1024,
  codedBytes: SEGMENT_TARGET_BYTES * (PARALLEL_UPLOADS + 1),
  puts: 1024,
};
/** Chunks that are looked up at once. */
const BATCH = 32;

export class StoredSnapshotWriter implements SnapshotWriter {
  readonly #store: ObjectStore;
  readonly #options: SnapshotWriterOptions;
  readonly #controller = new AbortController();
  readonly #chunkSegments: SegmentWriter;
  readonly #nodeSegments: SegmentWriter;
  readonly #builder: TreeBuilder;
  readonly #placer: ChunkPlacer;
  /** Chunks that are put and not decided, then those that are decided and not in the tree, in the order of the puts. */
  readonly #put: PutChunk[] = [];
  readonly #decided: (SettledChunk | CodedChunk)[] = [];
  readonly #backlog = new Backlog(BOUNDS, () => this.#put.length + this.#decided.length);
  readonly #onAbort = () => this.#fail(new LazydiskError('ABORTED', 'Writing the snapshot was given up.'));
  #draining: Promise<void> | undefined;
  #appending: Promise<void> | undefined;
  #usesZstd = false;
  #processedBytes = 0;
  #uploadedBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;

  /** `codec`: what the repository allows. `reliance`: on the same store, just begun. */
  constructor(
    store: ObjectStore,
    options: SnapshotWriterOptions,
    private readonly codec: Codec,
    private readonly reliance: Reliance,
  ) {
    assertWriterOptions(options);
    this.#store = store;
    const { signal } = this.#controller;
    this.#options = { ...options, known: reliance.places(options.known, signal) };
    const shared = {
      store,
      uploads: new PQueue({ concurrency: PARALLEL_UPLOADS }),
      signal,
      onError: (error: unknown) => this.#fail(error),
    };
    this.#chunkSegments = new SegmentWriter({
      ...shared,
      kind: 'chunks',
      onUploaded: (payloads, objectBytes) => this.#chunksUploaded(payloads, objectBytes),
    });
    this.#nodeSegments = new SegmentWriter({
      ...shared,
      kind: 'nodes',
      onUploaded: (payloads, objectBytes) => this.#uploaded(payloads, objectBytes),
    });
    const onAppended = (storedBytes: Bytes): void => this.#backlog.addCoded(storedBytes);
    this.#placer = new ChunkPlacer(codec, this.#chunkSegments, onAppended, signal);
    const nodes = new NodeWriter(this.#nodeSegments, options.trees);
    this.#builder = new TreeBuilder({
      trees: options.trees,
      base: options.base,
      chunkSizeBytes: options.chunkSizeBytes,
      append: (node) => nodes.append(node),
      signal,
    });
    if (options.signal?.aborted === true) this.#onAbort();
    else options.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  async put(chunk: ChunkNumber, bytes: Uint8Array | null): Promise<void> {
    this.#throwIfFailed();
    if (this.#ended) throw new LazydiskError('USAGE', 'A chunk was put into a snapshot that is finished.');
    assertPut(this.#options, chunk, bytes);
    const isHashed = this.#enqueue(chunk, bytes);
    // Who puts in a loop must not hold up this thread.
    if (isHashed) await nextTurn();
    await this.#backlog.room();
    this.#throwIfFailed();
  }

  async finish(sizeBytes = this.#options.sizeBytes): Promise<WrittenSnapshot> {
    this.#throwIfFailed();
    if (this.#ended) throw new LazydiskError('USAGE', 'A snapshot was finished twice.');
    this.#ended = true;
    try {
      await this.#drained();
      await this.#clearPastEnd(sizeBytes);
      await this.#drained();
      this.#chunkSegments.seal();
      const tree = await this.#builder.finish(sizeBytes);
      await this.#settleUploads();
      this.#throwIfFailed();
      const requires = new Set([...(this.#options.base?.requires ?? []), ...(this.#usesZstd ? [ZSTD_FEATURE] : [])]);
      return {
        ...tree,
        requires: [...requires],
        confirm: (signal) => this.reliance.confirm(signal),
        processedBytes: this.#processedBytes,
        uploadedBytes: this.#uploadedBytes,
      };
    } catch (error) {
      this.#fail(error);
      await this.#settleUploads();
      throw this.#failure?.error ?? error;
    } finally {
      this.#options.signal?.removeEventListener('abort', this.#onAbort);
    }
  }

  async abandon(): Promise<void> {
    this.#ended = true;
    this.#onAbort();
    await this.#draining;
    await this.#appending;
    await this.#settleUploads();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
  }

  /** False for zeros, which have no name. */
  #enqueue(chunk: ChunkNumber, given: Uint8Array | null): boolean {
    const bytes = given === null || isZero(given) ? null : given;
    if (bytes === null && given !== null) this.#options.onRead?.(given);
    this.#backlog.addPlain(bytes?.length ?? 0);
    this.#put.push(putChunk(chunk, bytes));
    this.#draining ??= this.#drain();
    return bytes !== null;
  }

  /** Takes items in the order they were put. Never rejects: an error becomes the failure of the writer. */
  async #drain(): Promise<void> {
    try {
      while (this.#put.length > 0 && this.#failure === undefined) await this.#decide(this.#put.splice(0, BATCH));
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#draining = undefined;
    }
  }

  async #decide(batch: readonly PutChunk[]): Promise<void> {
    const { chunkSizeBytes, known, onHashed } = this.#options;
    const decisions = await decideChunks(batch, {
      chunkSizeBytes,
      codec: this.codec,
      baseEntry: (chunk) => this.#builder.baseEntry(chunk),
      isPlaced: (id) => this.#placer.hasPlaced(id),
      known,
      onHashed,
    });
    for (const decision of decisions) {
      if (decision.kind === 'settled' && decision.bytes !== null) this.#wasRead(decision.bytes);
      this.#decided.push(decision.kind === 'settled' ? decision : this.#placer.code(decision));
    }
    this.#appending ??= this.#append();
    this.#moved();
  }

  /** Takes what was decided in the order in which it was put. Never rejects. */
  async #append(): Promise<void> {
    try {
      for (let next = this.#decided.shift(); next !== undefined; next = this.#decided.shift()) {
        this.#throwIfFailed();
        const reference = next.kind === 'settled' ? next.reference : await this.#placer.place(next);
        if (next.kind === 'new') this.#wasRead(next.bytes);
        if (reference?.codec === 'zstd') this.#usesZstd = true;
        await this.#builder.set(next.chunk, reference);
        this.#processedBytes += this.#options.chunkSizeBytes;
        this.#moved();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#appending = undefined;
    }
  }

  #wasRead(bytes: Uint8Array): void {
    this.#backlog.addPlain(-bytes.length);
    this.#options.onRead?.(bytes);
  }

  async #chunksUploaded(payloads: readonly UploadedPayload[], objectBytes: number): Promise<void> {
    await this.#options.known.record(payloads).catch(() => undefined);
    for (const { storedBytes } of payloads) this.#backlog.addCoded(-storedBytes);
    this.#uploaded(payloads, objectBytes);
  }

  #uploaded(payloads: readonly UploadedPayload[], objectBytes: number): void {
    for (const { segment } of payloads.slice(0, 1)) this.reliance.add(segment);
    this.#uploadedBytes += objectBytes;
    this.#moved();
  }

  #moved(): void {
    this.#options.onProgress?.({ processedBytes: this.#processedBytes, uploadedBytes: this.#uploadedBytes });
    this.#backlog.moved();
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#put.length = 0;
    this.#decided.length = 0;
    this.#controller.abort(error);
    this.#backlog.end();
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #drained(): Promise<void> {
    await this.#draining;
    await this.#appending;
    this.#throwIfFailed();
  }

  async #settleUploads(): Promise<void> {
    await Promise.all([this.#chunkSegments.close(), this.#nodeSegments.close()]);
  }

  /** See the head of this file. */
  async #clearPastEnd(sizeBytes: Bytes): Promise<void> {
    const { base, chunkSizeBytes, trees } = this.#options;
    const used = sizeBytes % chunkSizeBytes;
    const chunk = chunkCount(sizeBytes, chunkSizeBytes) - 1;
    if (base === null || base.sizeBytes <= sizeBytes || used === 0 || this.#builder.isSet(chunk)) return;
    const reference = await trees.entry(base, chunk, this.#controller.signal);
    if (reference === null) return;
    const bytes = await fetchVerified(this.#store, reference, chunkSizeBytes, 'a chunk', this.#controller.signal);
    if (!isZero(bytes.subarray(used))) this.#enqueue(chunk, bytes.fill(0, used));
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
