/**
 * Which chunks this host knows the place of: a commit that meets one of them uploads nothing for it.
 *
 * The value is 34 bytes: version, codec (1 is none, 2 is zstd), the segment (16), the offset (u64), the stored length (u32), and a
 * CRC-32 of the chunk's name and all this, little-endian: a bit that has changed on the disk would be published in a tree, where
 * nobody could mend it. A value that does not read as that is ignored, as if the place were unknown;
 * so is a place that can't be written. Whether the segment still exists is not known here.
 */
import { crc32 } from '../format/checksums.js';
import { CODECS } from '../format/ids.js';
import type { ChunkId, ChunkReference } from '../format/references.js';
import type { KnownPlaces } from '../repository/api.js';
import { messageOf } from '../util/errors.js';
import { silentLog, type Log } from '../util/log.js';
import type { LocalDatabase } from './local-database.js';

/** The first version had no checksum; what it knew is learned again. */
const VERSION = 2;
/** Codecs by their number, from 1 on. */
const FIRST_CODEC = 1;
const SEGMENT_AT = 2;
const OFFSET_AT = 18;
const LENGTH_AT = 26;
const CHECKSUM_AT = 30;
const VALUE_BYTES = 34;

export class LocalPlaces implements KnownPlaces {
  constructor(
    private readonly database: LocalDatabase,
    private readonly log: Log = silentLog,
  ) {}

  async lookup(ids: readonly ChunkId[]): Promise<(ChunkReference | undefined)[]> {
    const values = await this.database.getMany(ids.map(keyOf));
    return ids.map((id, index) => {
      const value = values[index];
      return value === undefined ? undefined : decodePlace(id, value);
    });
  }

  async record(references: readonly ChunkReference[]): Promise<void> {
    try {
      await this.database.batch(
        references.map((reference) => ({ type: 'put', key: keyOf(reference.id), value: encodePlace(reference) })),
      );
    } catch (error) {
      this.log.warn('the places of chunks could not be kept locally', {
        chunks: references.length,
        error: messageOf(error),
      });
    }
  }
}

function keyOf(id: ChunkId): string {
  return `place/${id}`;
}

/** Exported for tests. */
export function encodePlace(reference: ChunkReference): Buffer {
  const value = Buffer.alloc(VALUE_BYTES);
  value[0] = VERSION;
  value[1] = FIRST_CODEC + CODECS.indexOf(reference.codec);
  value.write(reference.segment, SEGMENT_AT, 'hex');
  value.writeBigUInt64LE(BigInt(reference.offsetBytes), OFFSET_AT);
  value.writeUInt32LE(reference.storedBytes, LENGTH_AT);
  value.writeUInt32LE(checksumOf(reference.id, value), CHECKSUM_AT);
  return value;
}

function checksumOf(id: ChunkId, value: Buffer): number {
  return crc32(value.subarray(0, CHECKSUM_AT), crc32(Buffer.from(id, 'latin1')));
}

/** undefined: not a place. Exported for tests. */
export function decodePlace(id: ChunkId, value: Buffer): ChunkReference | undefined {
  if (value.length !== VALUE_BYTES || value[0] !== VERSION) return undefined;
  if (value.readUInt32LE(CHECKSUM_AT) !== checksumOf(id, value)) return undefined;
  const codec = CODECS[value[1]! - FIRST_CODEC];
  if (codec === undefined) return undefined;
  const offset = value.readBigUInt64LE(OFFSET_AT);
  const storedBytes = value.readUInt32LE(LENGTH_AT);
  if (offset > BigInt(Number.MAX_SAFE_INTEGER) || storedBytes === 0) return undefined;
  const segment = value.toString('hex', SEGMENT_AT, OFFSET_AT);
  return { id, segment, offsetBytes: Number(offset), storedBytes, codec };
}
