/**
 * What an import reads: an image's chunks in order, wherever they come from.
 *
 * This room is about disks that are not ours: files, pipes and URLs, packed or in the container of another hypervisor, and
 * trees of files. Each becomes an ImageSource (`open-source.ts` decides how). Nothing here knows a repository. What is read is
 * untrusted: programs that read it are told its format, and never open another file that it names unless that is asked for.
 */
import { MAX_IMAGE_BYTES, type Bytes } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';

export interface ImageSource {
  /** null: it shows at the end. */
  readonly sizeBytes: Bytes | null;
  /**
   * In order, from chunk 0, without gaps, zero-padded at the end; null is a chunk of zeros that needs no reading. USAGE (another
   * format), IO, CONFLICT (changed while it was read), DAMAGED (not what its checksum says, or can't be unpacked).
   */
  chunks(chunkSizeBytes: Bytes): AsyncIterable<Uint8Array | null>;
  /** A chunk that `chunks` has given is not needed any more: its memory may hold a later one. */
  giveBack(chunk: Uint8Array): void;
  /** The size, once `chunks` has ended. */
  finalSizeBytes(): Bytes;
  /** Ends what was started and removes what was made for it; also before `chunks` has ended. */
  close(): Promise<void>;
}

/** How much of what is read (packed, or on the way from a server) has been taken in. */
export interface Intake {
  readonly doneBytes: Bytes;
  /** null: nobody knows. */
  readonly totalBytes: Bytes | null;
}

/** TOO_LARGE: beyond what an image may have. */
export function assertImageSize(sizeBytes: Bytes, name: string): void {
  if (sizeBytes <= MAX_IMAGE_BYTES) return;
  throw new LazydiskError(
    'TOO_LARGE',
    `${name} has more than ${MAX_IMAGE_BYTES} bytes, the most that an image may have.`,
  );
}

/** CONFLICT: what is read must stay as it is meanwhile. */
export function changedError(name: string, cause?: unknown): LazydiskError {
  return new LazydiskError(
    'CONFLICT',
    `${name} changed while it was read; stop whoever writes to it and import again.`,
    { cause },
  );
}
