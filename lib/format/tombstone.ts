/**
 * A tombstone keeps the number of a deleted snapshot used, and the whole record, so that the deletion can be undone until
 * the grace is over. Then it is final: it only keeps the number. It is written before the record is removed.
 */
import * as z from 'zod';
import { assertKnownFeatures, decodeDocument, encodeDocument, FORMAT_VERSION } from './json.js';
import { isSnapshotNumber } from './keys.js';
import { snapshotRecordSchema, type SnapshotRecord } from './snapshot-record.js';

export interface Tombstone {
  readonly formatVersion: 1;
  readonly number: number;
  /** When it was deleted, milliseconds since 1970 by the clock of who deleted it. */
  readonly timeMs: number;
  /** null: the record was damaged when it was deleted, then `unreadable` holds its bytes; or the grace is over. */
  readonly record: SnapshotRecord | null;
  /** Bytes of a damaged record, base64. */
  readonly unreadable?: string | undefined;
}

const schema: z.ZodType<Tombstone> = z.looseObject({
  formatVersion: z.literal(FORMAT_VERSION),
  number: z.number().refine(isSnapshotNumber, 'expected the number of a snapshot'),
  timeMs: z.number().int().min(0),
  record: snapshotRecordSchema.nullable(),
  unreadable: z.base64().optional(),
});

/** Reads a tombstone. `name` is its key, for messages. DAMAGED, UNSUPPORTED. */
export function decodeTombstone(bytes: Uint8Array, name: string): Tombstone {
  const tombstone = decodeDocument(bytes, name, schema);
  if (tombstone.record !== null) assertKnownFeatures(tombstone.record, name);
  return tombstone;
}

export function encodeTombstone(tombstone: Tombstone, name: string): Buffer {
  return encodeDocument(tombstone, name, schema);
}
