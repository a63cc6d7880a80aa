/**
 * The two ways in which verify looks at segments, when it knows all that points into them.
 *
 * `WholeSegments` reads each one whole, once: header, index, every payload against its checksums, every reference against
 * the index. `SegmentSizes` reads none: one listing says which are there and how long they are, and no reference may end
 * beyond what payloads of its segment can.
 */
import PQueue from 'p-queue';
import type { Bytes } from '../format/geometry.js';
import { parseKey, segmentKey, SEGMENTS_PREFIX } from '../format/keys.js';
import type { Place, SegmentId } from '../format/references.js';
import {
  SEGMENT_ENTRY_BYTES,
  SEGMENT_FOOTER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentKind,
} from '../format/segment.js';
import type { ObjectStore } from '../store/object-store.js';
import type { Damages } from './damages.js';
import { SegmentUse } from './segment-use.js';
import { checkSegment, References } from './verify-segment.js';

/** Segments that are read at once, of up to 32 MiB each. */
const PARALLEL_SEGMENTS = 2;

export interface SegmentProgress {
  readonly checkedSegments: number;
  readonly totalSegments: number;
  readonly readBytes: Bytes;
}

export interface SegmentVerification {
  /** Something points there. */
  note(place: Place, id: string, kind: SegmentKind): void;
  /** Whether anything points into the segment. */
  has(segment: SegmentId): boolean;
  /** How many segments anything points into. */
  readonly segments: number;
  /** Looks at them, when all has been noted. Resolves to the number of different chunks, and the bytes that were read. */
  check(onProgress: (progress: SegmentProgress) => void): Promise<{ chunks: number; readBytes: Bytes }>;
}

export class WholeSegments implements SegmentVerification {
  readonly #references = new Map<SegmentId, References>();

  constructor(
    private readonly store: ObjectStore,
    private readonly damages: Damages,
    private readonly signal?: AbortSignal,
  ) {}

  get segments(): number {
    return this.#references.size;
  }

  has(segment: SegmentId): boolean {
    return this.#references.has(segment);
  }

  note(place: Place, id: string): void {
    const references = this.#references.get(place.segment) ?? new References();
    this.#references.set(place.segment, references);
    references.add(id, place);
  }

  async check(onProgress: (progress: SegmentProgress) => void): Promise<{ chunks: number; readBytes: Bytes }> {
    const queue = new PQueue({ concurrency: PARALLEL_SEGMENTS });
    const chunks = new Set<string>();
    let checkedSegments = 0;
    let readBytes = 0;
    const checkOne = async (segment: SegmentId, references: References): Promise<void> => {
      this.signal?.throwIfAborted();
      const key = segmentKey(segment);
      const bytes = await this.damages.noting(key, () => this.store.get(key, { signal: this.signal }));
      if (bytes !== undefined) {
        readBytes += bytes.length;
        const found = await checkSegment(segment, bytes, references);
        for (const what of found.problems) this.damages.add(key, what);
        for (const id of found.chunks) chunks.add(id);
      }
      checkedSegments++;
      onProgress({ checkedSegments, totalSegments: this.segments, readBytes });
    };
    await Promise.all(
      [...this.#references].map(([segment, references]) => queue.add(() => checkOne(segment, references))),
    );
    return { chunks: chunks.size, readBytes };
  }
}

export class SegmentSizes implements SegmentVerification {
  readonly #uses = new Map<SegmentId, { readonly use: SegmentUse; readonly kind: SegmentKind }>();

  constructor(
    private readonly store: ObjectStore,
    private readonly damages: Damages,
    private readonly signal?: AbortSignal,
  ) {}

  get segments(): number {
    return this.#uses.size;
  }

  has(segment: SegmentId): boolean {
    return this.#uses.has(segment);
  }

  note(place: Place, _id: string, kind: SegmentKind): void {
    const known = this.#uses.get(place.segment) ?? { use: new SegmentUse(), kind };
    this.#uses.set(place.segment, known);
    known.use.add(place);
    if (known.kind !== kind)
      this.damages.add(segmentKey(place.segment), 'something points to chunks in it, and something to nodes');
  }

  async check(): Promise<{ chunks: number; readBytes: Bytes }> {
    const { objects } = await this.store.list(SEGMENTS_PREFIX, { signal: this.signal });
    const sizes = new Map<SegmentId, Bytes>();
    for (const { key, sizeBytes } of objects) {
      const parsed = parseKey(key);
      if (parsed?.kind === 'segment') sizes.set(parsed.segment, sizeBytes);
    }
    let chunks = 0;
    for (const [segment, { use, kind }] of this.#uses) {
      const sizeBytes = sizes.get(segment);
      if (sizeBytes === undefined) this.damages.add(segmentKey(segment), 'it is missing');
      else this.#checkPlaces(segment, use, sizeBytes);
      if (kind === 'chunks') chunks += use.payloads;
    }
    return { chunks, readBytes: 0 };
  }

  #checkPlaces(segment: SegmentId, use: SegmentUse, sizeBytes: Bytes): void {
    const endBytes = sizeBytes - SEGMENT_FOOTER_BYTES - use.payloads * SEGMENT_ENTRY_BYTES;
    for (const { offsetBytes, storedBytes } of use.places()) {
      if (offsetBytes >= SEGMENT_HEADER_BYTES && offsetBytes + storedBytes <= endBytes) continue;
      const what = `something points to ${storedBytes} bytes at ${offsetBytes}`;
      this.damages.add(segmentKey(segment), `${what}, where a segment of ${sizeBytes} bytes has no payload`);
    }
  }
}
