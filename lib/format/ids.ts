/** What names look like: the patterns of ids, and what a place may be. Everything read from a repository passes here. */
import * as z from 'zod';
import type { Codec, NodeReference, Place } from './references.js';

const HASH = /^[0-9a-f]{64}$/;
const RANDOM_ID = /^[0-9a-f]{32}$/;

/** Largest segment that a reader accepts, bytes. Writers stop at half of it. */
export const MAX_SEGMENT_BYTES = 64 * 1024 * 1024;

/** Codecs by their number in binary objects. */
export const CODECS: readonly Codec[] = ['none', 'zstd'];

/** Whether it is a SHA-256 in lower-case hex digits. */
export function isHash(text: string): boolean {
  return HASH.test(text);
}

/** Whether it is a random id in lower-case hex digits. */
export function isRandomId(text: string): boolean {
  return RANDOM_ID.test(text);
}

/** Whether the place lies in a segment of a size that the format allows. */
export function isPlace(place: Place): boolean {
  return (
    isRandomId(place.segment) &&
    Number.isInteger(place.offsetBytes) &&
    Number.isInteger(place.storedBytes) &&
    place.offsetBytes >= 0 &&
    place.storedBytes >= 1 &&
    place.offsetBytes + place.storedBytes <= MAX_SEGMENT_BYTES &&
    CODECS.includes(place.codec)
  );
}

export const randomIdSchema = z.string().regex(RANDOM_ID);
export const hashSchema = z.string().regex(HASH);

/** A node reference in JSON. Unknown fields are kept. */
export const nodeReferenceSchema: z.ZodType<NodeReference> = z
  .looseObject({
    id: hashSchema,
    segment: randomIdSchema,
    offsetBytes: z.number().int().min(0),
    storedBytes: z.number().int().min(1),
    codec: z.enum(['none', 'zstd']),
  })
  .refine(isPlace, 'the place lies outside of every possible segment');
