/**
 * `profile.json`: which bytes of an image a boot touches, in the order in which it first touches them.
 *
 * Byte ranges, so that it holds for every chunk size, in multiples of the smallest one. It is a hint: whoever reads it checks
 * the ranges against the image, and nothing depends on its being there or right. Bounded in ranges and in bytes.
 */
import * as z from 'zod';
import { MAX_IMAGE_BYTES, MIN_CHUNK_SIZE, type Bytes } from './geometry.js';
import { randomIdSchema } from './ids.js';
import { damaged, decodeDocument, encodeDocument, FORMAT_VERSION } from './json.js';
import type { RandomId } from './references.js';

/** What a boot may touch to be one: more is a copy or a scan. */
export const MAX_PROFILE_BYTES = 1024 * 1024 * 1024;
/** As many as have room in a document. */
export const MAX_PROFILE_RANGES = 16_384;
/** A range that so many boots in a row have not touched leaves the profile. */
export const UNUSED_BOOTS_LIMIT = 3;
/** Offsets and lengths are multiples of it, bytes. */
export const PROFILE_GRAIN = MIN_CHUNK_SIZE;

export interface ProfileRange {
  readonly offsetBytes: Bytes;
  readonly lengthBytes: Bytes;
  /** Boots in a row that have not touched it: 0 to UNUSED_BOOTS_LIMIT - 1. */
  readonly unusedBoots: number;
}

export interface BootProfile {
  readonly formatVersion: 1;
  /** The image that was booted: an image that is made again under the name is another one. */
  readonly imageId: RandomId;
  readonly timeMs: number;
  /** How many boots it was made from. */
  readonly boots: number;
  /** In the order of the first touch; they do not overlap. */
  readonly ranges: readonly ProfileRange[];
}

const offset = z
  .number()
  .int()
  .min(0)
  .max(MAX_IMAGE_BYTES - PROFILE_GRAIN)
  .multipleOf(PROFILE_GRAIN);
const length = z.number().int().min(PROFILE_GRAIN).max(MAX_PROFILE_BYTES).multipleOf(PROFILE_GRAIN);
const unusedBoots = z
  .number()
  .int()
  .min(0)
  .max(UNUSED_BOOTS_LIMIT - 1);

/** A range is written as `[offset, length, unused boots]`. */
const schema = z.looseObject({
  formatVersion: z.literal(FORMAT_VERSION),
  imageId: randomIdSchema,
  timeMs: z.number().int().min(0),
  boots: z.number().int().min(1),
  ranges: z.array(z.tuple([offset, length, unusedBoots])).max(MAX_PROFILE_RANGES),
});

/** Reads a profile. `name` is its key, for messages. DAMAGED, UNSUPPORTED. */
export function decodeBootProfile(bytes: Uint8Array, name: string): BootProfile {
  const { ranges, ...rest } = decodeDocument(bytes, name, schema);
  const decoded = ranges.map(([offsetBytes, lengthBytes, unused]) => ({
    offsetBytes,
    lengthBytes,
    unusedBoots: unused,
  }));
  const totalBytes = decoded.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  if (totalBytes > MAX_PROFILE_BYTES) throw damaged(name, `its ranges have ${totalBytes} bytes in all`);
  return { ...rest, ranges: decoded };
}

/** USAGE when the profile is not one that `decodeBootProfile` would accept. Compact: a line a range would be ten times as long. */
export function encodeBootProfile({ ranges, ...rest }: BootProfile, name: string): Buffer {
  const tuples = ranges.map(({ offsetBytes, lengthBytes, unusedBoots }): [number, number, number] => [
    offsetBytes,
    lengthBytes,
    unusedBoots,
  ]);
  return encodeDocument({ ...rest, ranges: tuples }, name, schema, 'one line');
}
