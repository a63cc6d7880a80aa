/**
 * `tags/<tag>.json`: a name that leads to one snapshot of its image, and can be moved to another one.
 *
 * It is the only document that is written again with another meaning, so it is small and whole in one object: moving a tag is
 * one put, and whoever reads it meanwhile sees where it was or where it is. It says which commit it means too: a number is
 * never used twice, so anything else under that number is damage.
 */
import * as z from 'zod';
import { randomIdSchema } from './ids.js';
import { damaged, decodeDocument, encodeDocument, FORMAT_VERSION } from './json.js';
import { isSnapshotNumber, isTagName } from './keys.js';
import type { RandomId } from './references.js';

export interface Tag {
  readonly formatVersion: 1;
  /** Its name, the same as in the key. */
  readonly tag: string;
  /** The snapshot that it leads to. */
  readonly number: number;
  readonly commitId: RandomId;
  /** When it was put there, milliseconds since 1970 by the clock of who did it. */
  readonly timeMs: number;
}

const schema: z.ZodType<Tag> = z.looseObject({
  formatVersion: z.literal(FORMAT_VERSION),
  tag: z.string().refine(isTagName, 'expected the name of a tag'),
  number: z.number().refine(isSnapshotNumber, 'expected the number of a snapshot'),
  commitId: randomIdSchema,
  timeMs: z.number().int().min(0),
});

/** Reads a tag. `key` is its own, `tag` the name that stands there. DAMAGED, UNSUPPORTED. */
export function decodeTag(bytes: Uint8Array, key: string, tag: string): Tag {
  const decoded = decodeDocument(bytes, key, schema);
  if (decoded.tag !== tag) throw damaged(key, `it is the tag ${decoded.tag}`);
  return decoded;
}

export function encodeTag(tag: Tag, key: string): Buffer {
  return encodeDocument(tag, key, schema);
}
