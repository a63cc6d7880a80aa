/**
 * Builds one snapshot: chunks into segments, nodes on top, nothing visible until the caller publishes the record.
 *
 * The way of a chunk: put → hashed → in the order of the puts: compared with the base (unchanged: nothing to do), with
 * chunks of this run and with known places (known: only its reference is used), else coded, several at once → in the
 * order of the puts: appended to the open chunk segment → uploaded with its segment → recorded as known. So reading,
 * coding and uploading go on side by side. Hashing is this thread's work, a chunk a turn: on another thread it would cost a
 * copy and two switches, which take longer than the hash (docs/decisions/0020-commit.md).
 *
 * Memory is bounded: `put` waits while too much is between put and coded, or between coded and durable (backlog.ts). The
 * first error ends everything: later calls reject with it. Known places are a help: when they fail, the chunk is uploaded.
 *
 * Shrinking to a size inside a chunk that is not put: the rest of that chunk is made zero here, so that growing again can
 * never show old bytes.
 */
import PQueue from 'p-queue';
import { isZero, sha256, sha256OffThread } from '../format/checksums.js';
import { encodePayload, isStoredSize, type EncodedPayload } from '../format/codec.js';
import { chunkCount, type Bytes, type ChunkNumber } from '../format/geometry.js';
import { ZSTD_FEATURE } from '../format/json.js';
import type { ChunkId, ChunkReference, Codec, NodeId, NodeReference, TreeNode } from '../format/references.js';
import { encodeTreeNode } from '../format/tree-node.js';
import type { ObjectStore } from '../store/object-store.js';
import { Semaphore } from '../store/semaphore.js';
import { LazydiskError } from '../util/errors.js';
import type { SnapshotWriter, SnapshotWriterOptions, WrittenSnapshot } from './api.js';
import { Backlog } from './backlog.js';
import { BoundedMap } from './bounded-map.js';
import type { Reliance } from './reliance.js';
import { SEGMENT_TARGET_BYTES, SegmentWriter, type UploadedPayload } from './segment-writer.js';
import { assertPut, assertWriterOptions } from './snapshot-arguments.js';
import { TreeBuilder } from './tree-builder.js';
import { fetchVerified } from './verified-fetch.js';

/** Uploads at once, of up to 8 MiB each. */
const PARALLEL_UPLOADS = 8;
/** Chunks that are coded at once: they share the pool of node:fs. */
const PARALLEL_CODERS = 4;
/** Larger chunks are hashed off this thread, where they hold nobody up; smaller ones here, without a copy. */
const HASHED_HERE_BYTES = 1024 * 1024;
/** Enough plain chunks to keep the coders busy, few enough to stay in the processor's cache. Zeros hold no bytes. */
const BOUNDS = {
  plainBytes: 16 * 1024 * 1024,
  codedBytes: SEGMENT_TARGET_BYTES * (PARALLEL_UPLOADS + 1),
  puts: 1024,
};
/** Chunks that are looked up at once. */
const BATCH = 32;
/** Ids of this run that are remembered. */
const REMEMBERED_CHUNKS = 65_536;

interface Item {
  readonly chunk: ChunkNumber;
  readonly bytes: Uint8Array | null;
  readonly id: ChunkId | Promise<ChunkId> | null;
}

interface Hashed {
  readonly chunk: ChunkNumber;
  readonly bytes: Uint8Array;
  readonly id: ChunkId;
}

/** What the new tree gets at a chunk: a reference that is there already (or zeros), or one that its coded bytes will have. */
type Decided =
  | { readonly chunk: ChunkNumber; readonly reference: ChunkReference | null }
  | (Hashed & { readonly coded: Promise<EncodedPayload> | 'placed in this run' });

export class StoredSnapshotWriter implements SnapshotWriter {
  readonly #store: ObjectStore;
  readonly #options: SnapshotWriterOptions;
  readonly #controller = new AbortController();
  readonly #coders = new Semaphore(PARALLEL_CODERS);
  readonly #chunkSegments: SegmentWriter;
  readonly #nodeSegments: SegmentWriter;
  readonly #builder: TreeBuilder;
  readonly #placed = new BoundedMap<ChunkId, ChunkReference>(REMEMBERED_CHUNKS);
  readonly #nodes = new BoundedMap<NodeId, NodeReference>(REMEMBERED_CHUNKS);
  /** Chunks of this run that are on their way to a place. */
  readonly #coming = new Set<ChunkId>();
  readonly #items: Item[] = [];
  readonly #decided: Decided[] = [];
  readonly #backlog = new Backlog(BOUNDS, () => this.#items.length + this.#decided.length);
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
    this.#builder = new TreeBuilder({
      trees: options.trees,
      base: options.base,
      chunkSizeBytes: options.chunkSizeBytes,
      append: (node) => this.#appendNode(node),
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
    this.#items.push({ chunk, bytes, id: bytes === null ? null : nameOf(bytes) });
    this.#draining ??= this.#drain();
    return bytes !== null;
  }

  /** Takes items in the order they were put. Never rejects: an error becomes the failure of the writer. */
  async #drain(): Promise<void> {
    try {
      while (this.#items.length > 0 && this.#failure === undefined) await this.#decide(this.#items.splice(0, BATCH));
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#draining = undefined;
    }
  }

  async #decide(batch: readonly Item[]): Promise<void> {
    const changed: Hashed[] = [];
    const unchanged = new Map<ChunkNumber, ChunkReference>();
    for (const { chunk, bytes, id } of batch) {
      if (bytes === null || id === null) continue;
      const hashed = { chunk, bytes, id: await id };
      this.#options.onHashed?.(hashed.id, bytes);
      const before = await this.#builder.baseEntry(chunk);
      if (before?.id === hashed.id) unchanged.set(chunk, before);
      else changed.push(hashed);
    }
    const places = await this.#lookup(changed);
    const hashedOf = new Map(changed.map((hashed) => [hashed.chunk, hashed]));
    for (const { chunk, bytes } of batch) {
      const hashed = hashedOf.get(chunk);
      const known = unchanged.get(chunk) ?? (hashed === undefined ? undefined : places.get(hashed.id));
      if (hashed === undefined || known !== undefined) {
        if (bytes !== null) this.#wasRead(bytes);
        this.#decided.push({ chunk, reference: known ?? null });
      } else {
        this.#decided.push({ ...hashed, coded: this.#code(hashed) });
      }
    }
    this.#appending ??= this.#append();
    this.#moved();
  }

  #code({ id, bytes }: Hashed): Promise<EncodedPayload> | 'placed in this run' {
    if (this.#placed.get(id) !== undefined || this.#coming.has(id)) return 'placed in this run';
    this.#coming.add(id);
    const coded = this.#encode(bytes);
    coded.catch(() => undefined); // awaited in its turn
    return coded;
  }

  async #encode(bytes: Uint8Array): Promise<EncodedPayload> {
    const release = await this.#coders.acquire(1);
    try {
      this.#throwIfFailed();
      return await encodePayload(this.codec, bytes);
    } finally {
      release();
    }
  }

  /** Takes what was decided in the order in which it was put. Never rejects. */
  async #append(): Promise<void> {
    try {
      for (let next = this.#decided.shift(); next !== undefined; next = this.#decided.shift()) {
        this.#throwIfFailed();
        const reference = 'reference' in next ? next.reference : await this.#place(next);
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

  /** A place that this run has given to the chunk already, or a new one. */
  async #place({ id, bytes, coded }: Extract<Decided, Hashed>): Promise<ChunkReference> {
    const placed = this.#placed.get(id);
    if (placed !== undefined) {
      this.#wasRead(bytes);
      return placed;
    }
    // A chunk of this run may have been placed so long ago that it is forgotten.
    const payload = coded === 'placed in this run' ? await encodePayload(this.codec, bytes) : await coded;
    const reference = { id, ...this.#chunkSegments.append(id, payload, bytes.length) };
    this.#backlog.addCoded(reference.storedBytes);
    this.#wasRead(bytes);
    this.#placed.set(id, reference);
    this.#coming.delete(id);
    return reference;
  }

  #wasRead(bytes: Uint8Array): void {
    this.#backlog.addPlain(-bytes.length);
    this.#options.onRead?.(bytes);
  }

  /** Places that other runs have given to chunks, in a form that this repository allows. */
  async #lookup(changed: readonly Hashed[]): Promise<Map<ChunkId, ChunkReference>> {
    const ids = [...new Set(changed.map((hashed) => hashed.id))].filter((id) => this.#placed.get(id) === undefined);
    const found = new Map<ChunkId, ChunkReference>();
    if (ids.length === 0) return found;
    const { known, chunkSizeBytes } = this.#options;
    const places = await known.lookup(ids).catch(() => []);
    for (const [position, id] of ids.entries()) {
      const place = places[position];
      if (place?.id !== id || !isStoredSize(place.codec, place.storedBytes, chunkSizeBytes)) continue;
      if (place.codec === 'none' || place.codec === this.codec) found.set(id, place);
    }
    return found;
  }

  #appendNode(node: TreeNode): NodeReference {
    const encoded = encodeTreeNode(node);
    const id = sha256(encoded);
    const known = this.#nodes.get(id);
    if (known !== undefined) return known;
    const reference = { id, ...this.#nodeSegments.append(id, { codec: 'none', stored: encoded }, node.level) };
    this.#nodes.set(id, reference);
    this.#options.trees.remember(id, encoded, node);
    return reference;
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
    this.#items.length = 0;
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

function nameOf(bytes: Uint8Array): ChunkId | Promise<ChunkId> {
  if (bytes.length <= HASHED_HERE_BYTES) return sha256(bytes);
  const id = sha256OffThread(bytes);
  id.catch(() => undefined); // awaited in its turn
  return id;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
