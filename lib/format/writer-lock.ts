/** `writer.json`: who may write to the head of an image, and on which base it stands. */
import * as z from 'zod';
import { randomIdSchema } from './ids.js';
import { decodeDocument, encodeDocument, FORMAT_VERSION } from './json.js';
import { isSnapshotNumber } from './keys.js';
import type { RandomId } from './references.js';

export interface WriterLock {
  readonly formatVersion: 1;
  /** The image that is written; also the id of an image that was never committed. */
  readonly imageId: RandomId;
  /** Identity of the holder: the id of its state directory. */
  readonly stateId: RandomId;
  /** For messages only. */
  readonly host: string;
  readonly pid: number;
  readonly timeMs: number;
  /** The snapshot that the head stands on; null before the first commit. */
  readonly base: { readonly number: number; readonly commitId: RandomId } | null;
}

const schema: z.ZodType<WriterLock> = z.looseObject({
  formatVersion: z.literal(FORMAT_VERSION),
  imageId: randomIdSchema,
  stateId: randomIdSchema,
  host: z.string().max(1024),
  pid: z.number().int().min(0),
  timeMs: z.number().int().min(0),
  base: z
    .looseObject({
      number: z.number().refine(isSnapshotNumber, 'expected the number of a snapshot'),
      commitId: randomIdSchema,
    })
    .nullable(),
});

/** Reads a lock. `name` is its key, for messages. DAMAGED, UNSUPPORTED. */
export function decodeWriterLock(bytes: Uint8Array, name: string): WriterLock {
  return decodeDocument(bytes, name, schema);
}

export function encodeWriterLock(lock: WriterLock, name: string): Buffer {
  return encodeDocument(lock, name, schema);
}
