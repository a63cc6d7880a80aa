/** The authoritative record of a snapshot: small JSON, written last, never changed. */
import * as z from 'zod';
import { chunkCount, isChunkSize, MAX_IMAGE_BYTES, type Bytes } from './geometry.js';
import { nodeReferenceSchema, randomIdSchema } from './ids.js';
import { decodeDocument, encodeDocument, FORMAT_VERSION } from './json.js';
import { isImageName, isSnapshotNumber } from './keys.js';
import type { NodeReference, RandomId } from './references.js';

/** Longest label, UTF-16 units. */
export const MAX_LABEL_LENGTH = 1024;

/** Which snapshot another one was made from. */
export interface ParentReference {
  readonly image: string;
  readonly imageId: RandomId;
  readonly number: number;
  readonly commitId: RandomId;
}

export interface SnapshotRecord {
  readonly formatVersion: 1;
  /** Features that a reader must know. */
  readonly requires: readonly string[];
  readonly imageId: RandomId;
  readonly number: number;
  readonly sizeBytes: Bytes;
  readonly chunkSizeBytes: Bytes;
  /** null: all zeros. */
  readonly root: NodeReference | null;
  /** Chunks that are not zero, times the chunk size. */
  readonly allocatedBytes: Bytes;
  readonly parent: ParentReference | null;
  /** Milliseconds since 1970, by the writer's clock. */
  readonly timeMs: number;
  readonly label: string;
  readonly commitId: RandomId;
  /** The state directory (or the one run of an import) that published it. */
  readonly writerId: RandomId;
}

const snapshotNumber = z.number().refine(isSnapshotNumber, 'expected the number of a snapshot');
const byteCount = z.number().int().min(0).max(MAX_IMAGE_BYTES);

const parentSchema: z.ZodType<ParentReference> = z.looseObject({
  image: z.string().refine(isImageName, 'expected the name of an image'),
  imageId: randomIdSchema,
  number: snapshotNumber,
  commitId: randomIdSchema,
});

/** For documents that hold a record. Unknown fields are kept. */
export const snapshotRecordSchema: z.ZodType<SnapshotRecord> = z
  .looseObject({
    formatVersion: z.literal(FORMAT_VERSION),
    requires: z.array(z.string().min(1).max(64)).max(256),
    imageId: randomIdSchema,
    number: snapshotNumber,
    sizeBytes: byteCount,
    chunkSizeBytes: z.number().refine(isChunkSize, 'expected a power of two from 64 KiB to 4 MiB'),
    root: nodeReferenceSchema.nullable(),
    allocatedBytes: byteCount,
    parent: parentSchema.nullable(),
    timeMs: z.number().int().min(0),
    label: z.string().max(MAX_LABEL_LENGTH),
    commitId: randomIdSchema,
    writerId: randomIdSchema,
  })
  .refine(isConsistent, 'root, sizeBytes and allocatedBytes contradict one another');

/** Reads a record. `name` is its key, for messages. DAMAGED, UNSUPPORTED. */
export function decodeSnapshotRecord(bytes: Uint8Array, name: string): SnapshotRecord {
  return decodeDocument(bytes, name, snapshotRecordSchema);
}

/** USAGE when it is not a valid record (a label that is too long). */
export function encodeSnapshotRecord(record: SnapshotRecord, name: string): Buffer {
  return encodeDocument(record, name, snapshotRecordSchema);
}

function isConsistent(record: SnapshotRecord): boolean {
  const chunks = record.allocatedBytes / record.chunkSizeBytes;
  return (
    Number.isInteger(chunks) &&
    chunks <= chunkCount(record.sizeBytes, record.chunkSizeBytes) &&
    (record.root === null) === (chunks === 0)
  );
}
