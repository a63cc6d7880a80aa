/**
 * New chunks of one run, coded and appended to its segments: the same bytes get one place, however often they are put.
 *
 * Several chunks are coded at once; they are appended in the order in which their owner calls `place`. A chunk that is met again
 * while it is being coded is not coded twice. What is remembered is bounded: a place that is forgotten costs an upload.
 */
import { encodePayload, type EncodedPayload } from '../format/codec.js';
import type { Bytes } from '../format/geometry.js';
import type { ChunkId, ChunkReference, Codec } from '../format/references.js';
import { Semaphore } from '../store/semaphore.js';
import { BoundedMap } from './bounded-map.js';
import type { NewChunk } from './chunk-decisions.js';
import type { SegmentWriter } from './segment-writer.js';

/** Chunks that are coded at once: they share the pool of node:fs. */
const PARALLEL_CODERS = 4;
/** Chunks of a run whose place is remembered. */
const REMEMBERED_CHUNKS = 65_536;

/** A chunk whose stored form is being made, or which this run has met before. */
export interface CodedChunk extends NewChunk {
  readonly coded: Promise<EncodedPayload> | 'met before';
}

export class ChunkPlacer {
  readonly #coders = new Semaphore(PARALLEL_CODERS);
  readonly #placed = new BoundedMap<ChunkId, ChunkReference>(REMEMBERED_CHUNKS);
  /** Chunks that are on their way to a place. */
  readonly #coming = new Set<ChunkId>();

  /** `onAppended`: so many bytes stand in a segment now, and are not durable yet. */
  constructor(
    private readonly codec: Codec,
    private readonly segments: SegmentWriter,
    private readonly onAppended: (storedBytes: Bytes) => void,
    private readonly signal: AbortSignal,
  ) {}

  hasPlaced(id: ChunkId): boolean {
    return this.#placed.get(id) !== undefined;
  }

  /** Begins to make the stored form of a chunk, which then has to be placed. */
  code(chunk: NewChunk): CodedChunk {
    if (this.hasPlaced(chunk.id) || this.#coming.has(chunk.id)) return { ...chunk, coded: 'met before' };
    this.#coming.add(chunk.id);
    const coded = this.#encode(chunk.bytes);
    coded.catch(() => undefined); // awaited in its turn
    return { ...chunk, coded };
  }

  /** The place that this run has given to the chunk already, or a new one. */
  async place({ id, bytes, coded }: CodedChunk): Promise<ChunkReference> {
    const placed = this.#placed.get(id);
    if (placed !== undefined) return placed;
    // One that was met before may have been placed so long ago that it is forgotten.
    const payload = coded === 'met before' ? await encodePayload(this.codec, bytes) : await coded;
    const reference = { id, ...this.segments.append(id, payload, bytes.length) };
    this.onAppended(reference.storedBytes);
    this.#placed.set(id, reference);
    this.#coming.delete(id);
    return reference;
  }

  async #encode(bytes: Uint8Array): Promise<EncodedPayload> {
    const release = await this.#coders.acquire(1);
    try {
      this.signal.throwIfAborted();
      return await encodePayload(this.codec, bytes);
    } finally {
      release();
    }
  }
}
