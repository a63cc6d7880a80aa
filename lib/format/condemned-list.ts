/**
 * A list of condemned segments: nothing referred to them when a collection looked, and a later one may remove them.
 *
 * A list is put once under a random id and never changed, so its time is the store's own, and two collections at once do not
 * undo each other's. `graceMs` is a promise to writers: none of the segments is removed before the list is so old.
 */
import * as z from 'zod';
import { randomIdSchema } from './ids.js';
import { decodeDocument, encodeDocument, FORMAT_VERSION } from './json.js';
import type { SegmentId } from './references.js';

/** The shortest grace. What a writer has seen whole stays for so long, whatever collections do. */
export const MIN_GRACE_MS = 60 * 60 * 1000;

/** As many as have room in a document. */
export const MAX_CONDEMNED_SEGMENTS = 16_384;

export interface CondemnedList {
  readonly formatVersion: 1;
  /** Features that everybody who writes or collects must know. */
  readonly requires: readonly string[];
  /** At least MIN_GRACE_MS, from the time at which the store has the list. */
  readonly graceMs: number;
  readonly segments: readonly SegmentId[];
}

const schema: z.ZodType<CondemnedList> = z.looseObject({
  formatVersion: z.literal(FORMAT_VERSION),
  requires: z.array(z.string().min(1).max(64)).max(256),
  graceMs: z.number().int().min(MIN_GRACE_MS),
  segments: z.array(randomIdSchema).max(MAX_CONDEMNED_SEGMENTS),
});

/** Reads a list. `name` is its key, for messages. DAMAGED, UNSUPPORTED. */
export function decodeCondemnedList(bytes: Uint8Array, name: string): CondemnedList {
  return decodeDocument(bytes, name, schema);
}

export function encodeCondemnedList(list: CondemnedList, name: string): Buffer {
  return encodeDocument(list, name, schema, 'one line');
}
