/**
 * Builds one snapshot: chunks into segments, nodes on top, nothing visible until the caller publishes the record.
 *
 * The way of a chunk: put → hashed off this thread, several at once → in the order of the puts: compared with the base
 * (unchanged: nothing to do), with chunks of this run and with known places (known: only its reference is used), else
 * appended to the open chunk segment → uploaded with its segment → recorded as known, handed to onStored.
 *
 * Memory is bounded: `put` waits while more than HELD_BYTES are between put and durable. The first error ends everything:
 * later calls reject with it. Known places are a help: when they fail, the chunk is uploaded.
 *
 * Shrinking to a size inside a chunk that is not put: the rest of that chunk is made zero here, so that growing again can
 * never show old bytes.
 */
import PQueue from 'p-queue';
import { isZero, sha256, sha256OffThread } from '../format/checksums.js';
import { isStoredSize } from '../format/codec.js';
import { chunkCount, isChunkSize, MAX_IMAGE_BYTES, type Bytes, type ChunkNumber } from '../format/geometry.js';
import type { ChunkId, ChunkReference, NodeId, NodeReference, TreeNode } from '../format/references.js';
import { encodeTreeNode } from '../format/tree-node.js';
import type { ObjectStore } from '../store/object-store.js';
import { LazydiskError } from '../util/errors.js';
import type { SnapshotWriter, SnapshotWriterOptions, WrittenSnapshot } from './api.js';
import { BoundedMap } from './bounded-map.js';
import { SEGMENT_TARGET_BYTES, SegmentWriter, type UploadedPayload } from './segment-writer.js';
import { TreeBuilder } from './tree-builder.js';
import { fetchVerified } from './verified-fetch.js';

/** Uploads at once, of up to 16 MiB each. */
const PARALLEL_UPLOADS = 4;
/** Hashes at once: they share the pool of node:fs. */
const PARALLEL_HASHES = 3;
/** Chunks between put and durable, bytes. More than one open segment, or nothing would ever be closed. */
const HELD_BYTES = SEGMENT_TARGET_BYTES * (PARALLEL_UPLOADS + 1);
/** Puts that wait for their turn (zeros hold no bytes). */
const WAITING_PUTS = 1024;
/** Chunks that are looked up at once. */
const BATCH = 32;
/** Ids of this run that are remembered. */
const REMEMBERED_CHUNKS = 65_536;

interface Item {
  readonly chunk: ChunkNumber;
  readonly bytes: Uint8Array | null;
  readonly id: Promise<ChunkId> | null;
}

interface Hashed {
  readonly chunk: ChunkNumber;
  readonly bytes: Uint8Array;
  readonly id: ChunkId;
}

export class StoredSnapshotWriter implements SnapshotWriter {
  readonly #store: ObjectStore;
  readonly #options: SnapshotWriterOptions;
  readonly #controller = new AbortController();
  readonly #hashes = new PQueue({ concurrency: PARALLEL_HASHES });
  readonly #chunkSegments: SegmentWriter;
  readonly #nodeSegments: SegmentWriter;
  readonly #builder: TreeBuilder;
  readonly #placed = new BoundedMap<ChunkId, ChunkReference>(REMEMBERED_CHUNKS);
  readonly #nodes = new BoundedMap<NodeId, NodeReference>(REMEMBERED_CHUNKS);
  readonly #items: Item[] = [];
  readonly #onAbort = () => this.#fail(new LazydiskError('ABORTED', 'Writing the snapshot was given up.'));
  #draining: Promise<void> | undefined;
  #waiting: (() => void)[] = [];
  #heldBytes = 0;
  #processedBytes = 0;
  #uploadedBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;

  constructor(store: ObjectStore, options: SnapshotWriterOptions) {
    assertOptions(options);
    this.#store = store;
    this.#options = options;
    const { signal } = this.#controller;
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
      onUploaded: (_, objectBytes) => this.#uploaded(objectBytes),
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
    this.#assertPut(chunk, bytes);
    this.#enqueue(chunk, bytes);
    while (this.#isFull()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
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
      return { ...tree, processedBytes: this.#processedBytes, uploadedBytes: this.#uploadedBytes };
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
    await this.#settleUploads();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
  }

  #enqueue(chunk: ChunkNumber, given: Uint8Array | null): void {
    const bytes = given === null || isZero(given) ? null : given;
    const id = bytes === null ? null : this.#hashes.add(() => this.#hash(bytes));
    id?.catch(() => undefined); // awaited in its turn
    this.#heldBytes += bytes?.length ?? 0;
    this.#items.push({ chunk, bytes, id });
    this.#draining ??= this.#drain();
  }

  #hash(bytes: Uint8Array): Promise<ChunkId> {
    this.#throwIfFailed();
    return sha256OffThread(bytes);
  }

  /** Takes items in the order they were put. Never rejects: an error becomes the failure of the writer. */
  async #drain(): Promise<void> {
    try {
      while (this.#items.length > 0 && this.#failure === undefined) {
        const batch = this.#items.splice(0, BATCH);
        await this.#place(batch);
        this.#processedBytes += batch.length * this.#options.chunkSizeBytes;
        this.#moved();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#draining = undefined;
    }
  }

  async #place(batch: readonly Item[]): Promise<void> {
    const changed: Hashed[] = [];
    const unchanged = new Map<ChunkNumber, ChunkReference>();
    for (const { chunk, bytes, id } of batch) {
      if (bytes === null || id === null) continue;
      const hashed = { chunk, bytes, id: await id };
      const before = await this.#builder.baseEntry(chunk);
      if (before?.id === hashed.id) unchanged.set(chunk, before);
      else changed.push(hashed);
    }
    const places = await this.#lookup(changed);
    const hashedOf = new Map(changed.map((hashed) => [hashed.chunk, hashed]));
    for (const { chunk, bytes } of batch) {
      const hashed = hashedOf.get(chunk);
      const known = unchanged.get(chunk) ?? (hashed === undefined ? undefined : places.get(hashed.id));
      if (bytes === null) {
        await this.#builder.set(chunk, null);
      } else if (known !== undefined) {
        this.#heldBytes -= bytes.length;
        this.#options.onStored?.(known, bytes);
        await this.#builder.set(chunk, known);
      } else {
        await this.#builder.set(chunk, this.#append(hashed!));
      }
    }
  }

  /** A chunk that this run has placed already, or a new place. */
  #append({ id, bytes }: Hashed): ChunkReference {
    const placed = this.#placed.get(id);
    if (placed !== undefined) {
      this.#heldBytes -= bytes.length;
      return placed;
    }
    const reference = { id, ...this.#chunkSegments.append(id, bytes, bytes.length) };
    this.#placed.set(id, reference);
    return reference;
  }

  async #lookup(changed: readonly Hashed[]): Promise<Map<ChunkId, ChunkReference>> {
    const ids = [...new Set(changed.map((hashed) => hashed.id))].filter((id) => this.#placed.get(id) === undefined);
    const found = new Map<ChunkId, ChunkReference>();
    if (ids.length === 0) return found;
    const { known, chunkSizeBytes } = this.#options;
    const places = await known.lookup(ids).catch(() => []);
    for (const [position, id] of ids.entries()) {
      const place = places[position];
      if (place?.id === id && isStoredSize(place.codec, place.storedBytes, chunkSizeBytes)) found.set(id, place);
    }
    return found;
  }

  #appendNode(node: TreeNode): NodeReference {
    const encoded = encodeTreeNode(node);
    const id = sha256(encoded);
    const known = this.#nodes.get(id);
    if (known !== undefined) return known;
    const reference = { id, ...this.#nodeSegments.append(id, encoded, node.level) };
    this.#nodes.set(id, reference);
    this.#options.trees.remember(id, encoded, node);
    return reference;
  }

  async #chunksUploaded(payloads: readonly UploadedPayload[], objectBytes: number): Promise<void> {
    const stored = payloads.map(({ bytes, ...reference }) => ({ reference, bytes }));
    await this.#options.known.record(stored.map(({ reference }) => reference)).catch(() => undefined);
    for (const { reference, bytes } of stored) {
      this.#heldBytes -= bytes.length;
      this.#options.onStored?.(reference, bytes);
    }
    this.#uploaded(objectBytes);
  }

  #uploaded(objectBytes: number): void {
    this.#uploadedBytes += objectBytes;
    this.#moved();
  }

  #moved(): void {
    this.#options.onProgress?.({ processedBytes: this.#processedBytes, uploadedBytes: this.#uploadedBytes });
    if (!this.#isFull()) this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  #isFull(): boolean {
    return this.#failure === undefined && (this.#heldBytes > HELD_BYTES || this.#items.length > WAITING_PUTS);
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#items.length = 0;
    this.#controller.abort(error);
    this.#wake();
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #drained(): Promise<void> {
    await this.#draining;
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

  #assertPut(chunk: ChunkNumber, bytes: Uint8Array | null): void {
    const { chunkSizeBytes, sizeBytes } = this.#options;
    const chunks = chunkCount(sizeBytes, chunkSizeBytes);
    if (!Number.isInteger(chunk) || chunk < 0 || chunk >= chunks) {
      throw new LazydiskError('USAGE', `Chunk ${chunk} was put into an image of ${chunks} chunks.`);
    }
    if (bytes === null) return;
    if (bytes.length !== chunkSizeBytes) {
      throw new LazydiskError('USAGE', `A chunk of ${bytes.length} bytes was put where chunks have ${chunkSizeBytes}.`);
    }
    const used = sizeBytes - chunk * chunkSizeBytes;
    if (used < chunkSizeBytes && !isZero(bytes.subarray(used))) {
      throw new LazydiskError('USAGE', 'The last chunk must be padded with zeros at the end of the image.');
    }
  }
}

function assertOptions({ base, chunkSizeBytes, sizeBytes }: SnapshotWriterOptions): void {
  if (!isChunkSize(chunkSizeBytes)) throw new LazydiskError('USAGE', `${chunkSizeBytes} bytes is not a chunk size.`);
  if (!Number.isInteger(sizeBytes) || sizeBytes < 0) {
    throw new LazydiskError('USAGE', `${sizeBytes} is not the size of an image.`);
  }
  if (sizeBytes > MAX_IMAGE_BYTES) {
    throw new LazydiskError('TOO_LARGE', `An image has at most ${MAX_IMAGE_BYTES} bytes, not ${sizeBytes}.`);
  }
  if (base !== null && base.chunkSizeBytes !== chunkSizeBytes) {
    throw new LazydiskError('USAGE', `The base has chunks of ${base.chunkSizeBytes} bytes, not ${chunkSizeBytes}.`);
  }
}
