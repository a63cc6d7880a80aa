/**
 * Writes segments: collects payloads, closes a segment when it is full, uploads closed ones in parallel.
 *
 * A payload is copied into its segment when it is appended: who appends may drop it, and no segment is put together in one
 * piece, which would hold up this thread. The memory of a segment that has been put is used again: fresh memory of this size
 * costs half as much as hashing what comes into it, and makes the collector run. That of an upload that failed is left alone.
 * A place is known as soon as a payload is appended; it is durable when `onUploaded` names it. A segment gets a random id,
 * so putting it again after an unknown outcome is harmless. At most one segment is open; how many closed ones wait is
 * bounded by whoever appends (the snapshot writer counts the bytes it has handed out).
 */
import type PQueue from 'p-queue';
import { crc32, randomId } from '../format/checksums.js';
import type { EncodedPayload } from '../format/codec.js';
import type { Bytes } from '../format/geometry.js';
import { segmentKey } from '../format/keys.js';
import type { Place } from '../format/references.js';
import {
  encodeSegmentHeader,
  encodeSegmentTail,
  SEGMENT_ENTRY_BYTES,
  SEGMENT_FOOTER_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentEntry,
  type SegmentKind,
} from '../format/segment.js';
import type { ObjectStore } from '../store/object-store.js';

/** A closed segment has about this many bytes of payloads: large enough for a store, small enough to rewrite. */
export const SEGMENT_TARGET_BYTES = 8 * 1024 * 1024;

/** The first segment of a run is this part of the others, the second twice as large: the store gets work at once. */
const FIRST_PART = 1 / 4;

/** Most payloads of one segment: what shrinks to nearly nothing must not make an index that is larger than its payloads. */
const MAX_ENTRIES = 4096;

/** A payload that has become durable. */
export interface UploadedPayload extends Place {
  readonly id: string;
}

export interface SegmentWriterOptions {
  readonly store: ObjectStore;
  /** Shared with other writers: bounds the uploads at once. */
  readonly uploads: PQueue;
  readonly kind: SegmentKind;
  readonly signal: AbortSignal;
  /** A segment is durable. */
  readonly onUploaded: (payloads: readonly UploadedPayload[], objectBytes: number) => void | Promise<void>;
  /** The first error of an upload or of onUploaded. */
  readonly onError: (error: unknown) => void;
  readonly targetBytes?: number;
}

interface OpenSegment {
  readonly segment: string;
  /** Header and payloads so far, and room for the index. */
  readonly object: Buffer;
  readonly entries: SegmentEntry[];
  sizeBytes: number;
}

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #targetBytes: number;
  readonly #spare: Buffer[] = [];
  #fullBytes: Bytes;
  #open: OpenSegment | undefined;
  #running: Promise<void>[] = [];

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#targetBytes = options.targetBytes ?? SEGMENT_TARGET_BYTES;
    this.#fullBytes = this.#targetBytes * FIRST_PART;
  }

  /** Appends a payload. `detail`: see SegmentEntry. */
  append(id: string, { codec, stored }: EncodedPayload, detail: number): Place {
    if (this.#open !== undefined && !this.#hasRoom(this.#open, stored.length)) this.seal();
    const open = (this.#open ??= this.#begin(stored.length));
    const offsetBytes = open.sizeBytes;
    open.object.set(stored, offsetBytes);
    open.entries.push({ id, offsetBytes, storedBytes: stored.length, detail, codec, crc: crc32(stored) });
    open.sizeBytes += stored.length;
    return { segment: open.segment, offsetBytes, storedBytes: stored.length, codec };
  }

  /** Closes the open segment, if any, and begins its upload. */
  seal(): void {
    const segment = this.#open;
    if (segment === undefined) return;
    this.#open = undefined;
    this.#fullBytes = Math.min(this.#targetBytes, this.#fullBytes * 2);
    this.#running.push(this.#options.uploads.add(() => this.#upload(segment)).catch(this.#options.onError));
  }

  /** Resolves when everything appended is durable, or has been reported to onError. */
  async close(): Promise<void> {
    this.seal();
    await Promise.all(this.#running);
    this.#running = [];
  }

  #hasRoom({ sizeBytes, entries }: OpenSegment, storedBytes: number): boolean {
    return sizeBytes - SEGMENT_HEADER_BYTES + storedBytes <= this.#fullBytes && entries.length < MAX_ENTRIES;
  }

  /** What is never written to takes no memory: a segment of one node is as cheap as it looks. */
  #begin(firstBytes: number): OpenSegment {
    const segment = randomId();
    const payloadsEnd = SEGMENT_HEADER_BYTES + Math.max(this.#targetBytes, firstBytes);
    const mostBytes = payloadsEnd + MAX_ENTRIES * SEGMENT_ENTRY_BYTES + SEGMENT_FOOTER_BYTES;
    const spare = this.#spare.pop();
    const object = spare !== undefined && spare.length >= mostBytes ? spare : Buffer.allocUnsafeSlow(mostBytes);
    object.set(encodeSegmentHeader(this.#options.kind, segment));
    return { segment, object, entries: [], sizeBytes: SEGMENT_HEADER_BYTES };
  }

  async #upload({ segment, object, entries, sizeBytes }: OpenSegment): Promise<void> {
    const { store, kind, signal, onUploaded } = this.#options;
    signal.throwIfAborted();
    const tail = encodeSegmentTail(kind, segment, entries);
    object.set(tail, sizeBytes);
    const whole = object.subarray(0, sizeBytes + tail.length);
    await store.put(segmentKey(segment), whole, { signal });
    this.#spare.push(object);
    const uploaded = entries.map(({ id, offsetBytes, storedBytes, codec }) => ({
      id,
      segment,
      offsetBytes,
      storedBytes,
      codec,
    }));
    await onUploaded(uploaded, whole.length);
  }
}
