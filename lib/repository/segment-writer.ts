/**
 * Writes segments: collects payloads, closes a segment when it is full, uploads closed ones in parallel.
 *
 * A place is known as soon as a payload is appended; it is durable when `onUploaded` names it. A segment gets a random id,
 * so putting it again after an unknown outcome is harmless. At most one segment is open; how many closed ones wait is
 * bounded by whoever appends (the snapshot writer counts the bytes it has handed out).
 */
import type PQueue from 'p-queue';
import { crc32, randomId } from '../format/checksums.js';
import { segmentKey } from '../format/keys.js';
import type { Place } from '../format/references.js';
import {
  encodeSegmentHeader,
  encodeSegmentTail,
  SEGMENT_HEADER_BYTES,
  type SegmentEntry,
  type SegmentKind,
} from '../format/segment.js';
import type { ObjectStore } from '../store/object-store.js';

/** A closed segment has about this many bytes: large enough for a store, small enough to rewrite. */
export const SEGMENT_TARGET_BYTES = 16 * 1024 * 1024;

/** A payload that has become durable. `bytes` is a part of the uploaded object that nobody else uses any more. */
export interface UploadedPayload extends Place {
  readonly id: string;
  readonly bytes: Uint8Array;
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
  readonly payloads: Uint8Array[];
  readonly entries: SegmentEntry[];
  sizeBytes: number;
}

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #targetBytes: number;
  #open: OpenSegment | undefined;
  #running: Promise<void>[] = [];

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    this.#targetBytes = options.targetBytes ?? SEGMENT_TARGET_BYTES;
  }

  /** Appends a payload; `bytes` must not change any more. `detail`: see SegmentEntry. */
  append(id: string, bytes: Uint8Array, detail: number): Place {
    if (this.#open !== undefined && this.#open.sizeBytes + bytes.length > this.#targetBytes) this.seal();
    this.#open ??= { segment: randomId(), payloads: [], entries: [], sizeBytes: SEGMENT_HEADER_BYTES };
    const place: Place = {
      segment: this.#open.segment,
      offsetBytes: this.#open.sizeBytes,
      storedBytes: bytes.length,
      codec: 'none',
    };
    this.#open.payloads.push(bytes);
    this.#open.entries.push({
      id,
      offsetBytes: place.offsetBytes,
      storedBytes: place.storedBytes,
      detail,
      codec: 'none',
      crc: crc32(bytes),
    });
    this.#open.sizeBytes += bytes.length;
    return place;
  }

  /** Closes the open segment, if any, and begins its upload. */
  seal(): void {
    const segment = this.#open;
    if (segment === undefined) return;
    this.#open = undefined;
    this.#running.push(this.#options.uploads.add(() => this.#upload(segment)).catch(this.#options.onError));
  }

  /** Resolves when everything appended is durable, or has been reported to onError. */
  async close(): Promise<void> {
    this.seal();
    await Promise.all(this.#running);
    this.#running = [];
  }

  async #upload({ segment, payloads, entries }: OpenSegment): Promise<void> {
    const { store, kind, signal, onUploaded } = this.#options;
    signal.throwIfAborted();
    const object = Buffer.concat([
      encodeSegmentHeader(kind, segment),
      ...payloads,
      encodeSegmentTail(kind, segment, entries),
    ]);
    payloads.length = 0; // from here on the object holds them
    await store.put(segmentKey(segment), object, { signal });
    const uploaded = entries.map((entry) => ({
      id: entry.id,
      segment,
      offsetBytes: entry.offsetBytes,
      storedBytes: entry.storedBytes,
      codec: entry.codec,
      bytes: object.subarray(entry.offsetBytes, entry.offsetBytes + entry.storedBytes),
    }));
    await onUploaded(uploaded, object.length);
  }
}
