/** Where a mirror gets missing chunks from: ranges of segments, one ranged GET each. Whoever calls verifies. */
import type { Bytes } from '../format/geometry.js';
import type { SegmentId } from '../format/references.js';
import type { OnBytes } from '../store/object-store.js';
import type { Repository } from './api.js';
import { readSegmentRange } from './verified-fetch.js';

/** A range of a segment, bytes. */
export interface SegmentRange {
  readonly segment: SegmentId;
  readonly offsetBytes: Bytes;
  readonly lengthBytes: Bytes;
}

/** A mirror's chunk source over a repository. Rejects as ObjectStore.get does, but a missing segment is DAMAGED. */
export function chunkSource(repository: Repository): {
  read(range: SegmentRange, signal: AbortSignal, onBytes?: OnBytes): Promise<Buffer>;
} {
  return { read: (range, signal, onBytes) => readSegmentRange(repository.store, range, signal, onBytes) };
}
