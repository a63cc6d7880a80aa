/** Which payloads of one segment are referred to: packed, since an image of a terabyte has millions of chunks. */
import type { Bytes } from '../format/geometry.js';
import type { Place } from '../format/references.js';
import { SEGMENT_ENTRY_BYTES, SEGMENT_FOOTER_BYTES, SEGMENT_HEADER_BYTES } from '../format/segment.js';

/** Offset and length are below 2^27 each: both in one number that a double holds exactly. */
const LENGTHS = 2 ** 27;

export class SegmentUse {
  #packed = new Float64Array(8);
  #count = 0;

  add({ offsetBytes, storedBytes }: Place): void {
    if (this.#count === this.#packed.length) {
      this.#compact();
      if (this.#count > this.#packed.length / 2) {
        const larger = new Float64Array(this.#packed.length * 2);
        larger.set(this.#packed);
        this.#packed = larger;
      }
    }
    this.#packed[this.#count++] = offsetBytes * LENGTHS + storedBytes;
  }

  /** How many there are. */
  get payloads(): number {
    this.#compact();
    return this.#count;
  }

  /** By offset. */
  *places(): Generator<Pick<Place, 'offsetBytes' | 'storedBytes'>> {
    this.#compact();
    for (const one of this.#packed.subarray(0, this.#count)) {
      yield { offsetBytes: Math.floor(one / LENGTHS), storedBytes: one % LENGTHS };
    }
  }

  /** What a segment of `sizeBytes` would be shorter by if it held only these payloads. */
  deadBytes(sizeBytes: Bytes): Bytes {
    this.#compact();
    let usedBytes = SEGMENT_HEADER_BYTES + SEGMENT_FOOTER_BYTES;
    for (const one of this.#packed.subarray(0, this.#count)) usedBytes += (one % LENGTHS) + SEGMENT_ENTRY_BYTES;
    return Math.max(0, sizeBytes - usedBytes);
  }

  /** Sorts, and drops what is there twice. */
  #compact(): void {
    const sorted = this.#packed.subarray(0, this.#count).sort();
    let kept = 0;
    for (const one of sorted) if (kept === 0 || sorted[kept - 1] !== one) sorted[kept++] = one;
    this.#count = kept;
  }
}
