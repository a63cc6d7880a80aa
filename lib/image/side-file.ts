/**
 * The side files of a layer: bytes on disk <-> header and states.
 *
 * Both the live file (`.live`, what a surviving process or page cache knows) and the durable file (`.durable`, what a
 * FSYNC round has covered) have one form: a header of 4,096 bytes, of which 44 are used, then one byte per block. The
 * states are sparse: a hole is `below`. The header is one sector, so it is never seen half written; its checksum tells a
 * file that is not ours.
 *
 *   0   8  magic "LDSIDE01"
 *   8  16  layer id
 *  24   8  size of the disk, bytes; 2^64-1: the layer has not changed the size, what lies below counts
 *  32   4  cut, in blocks; 2^32-1: none
 *  36   4  zero
 *  40   4  CRC-32 of the 40 bytes before
 */
import { readSync } from 'node:fs';

import { crc32 } from '../format/checksums.js';
import { MAX_IMAGE_BYTES } from '../format/geometry.js';
import { LazydiskError } from '../util/errors.js';
import { seekData, seekHole } from '../util/syscalls.js';
import { NO_CUT, SIDE_HEADER_BYTES, ZERO } from './plane.js';

/** What a layer says of the disk besides its blocks. */
export interface SideHeader {
  /** Size of the disk, bytes, or null when this layer has not changed it. */
  readonly sizeBytes: number | null;
  /** From this block on, `below` means zero; NO_CUT for none. */
  readonly cutBlock: number;
}

/** Length of the used part of the header. */
export const SIDE_HEADER_USED_BYTES = 44;

const MAGIC = Buffer.from('LDSIDE01', 'latin1');
const INHERITED_SIZE = 0xffffffffffffffffn;

/** The header's bytes for one pwrite at offset 0. */
export function encodeSideHeader(layerId: string, header: SideHeader): Buffer {
  const bytes = Buffer.alloc(SIDE_HEADER_USED_BYTES);
  MAGIC.copy(bytes, 0);
  Buffer.from(layerId, 'hex').copy(bytes, 8);
  bytes.writeBigUInt64LE(header.sizeBytes === null ? INHERITED_SIZE : BigInt(header.sizeBytes), 24);
  bytes.writeUInt32LE(header.cutBlock, 32);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 40)), 40);
  return bytes;
}

/** Reads a header. DAMAGED names the file. */
export function decodeSideHeader(bytes: Buffer, layerId: string, path: string): SideHeader {
  const whole = bytes.length >= SIDE_HEADER_USED_BYTES && bytes.subarray(0, 8).equals(MAGIC);
  if (!whole || bytes.readUInt32LE(40) !== crc32(bytes.subarray(0, 40))) {
    throw new LazydiskError('DAMAGED', `${path} is not the side file of a layer, or its header is damaged.`);
  }
  if (bytes.toString('hex', 8, 24) !== layerId) {
    throw new LazydiskError('DAMAGED', `${path} belongs to another layer than its name says.`);
  }
  const size = bytes.readBigUInt64LE(24);
  if (size !== INHERITED_SIZE && size > BigInt(MAX_IMAGE_BYTES)) {
    throw new LazydiskError('DAMAGED', `${path} says a size of ${size} bytes, more than an image can have.`);
  }
  const cutBlock = bytes.readUInt32LE(32);
  return {
    sizeBytes: size === INHERITED_SIZE ? null : Number(size),
    cutBlock: cutBlock === NO_CUT ? NO_CUT : cutBlock,
  };
}

/** Reads the header of an open side file. */
export function readSideHeader(descriptor: number, layerId: string, path: string): SideHeader {
  const bytes = Buffer.alloc(SIDE_HEADER_USED_BYTES);
  const count = readSync(descriptor, bytes, 0, bytes.length, 0);
  return decodeSideHeader(bytes.subarray(0, count), layerId, path);
}

/** Calls back with each stretch of states that may not be `below`: (first block, states). Holes are skipped. */
export function forEachStoredStates(
  descriptor: number,
  path: string,
  callback: (firstBlock: number, states: Buffer) => void,
): void {
  const buffer = Buffer.alloc(1024 * 1024);
  let position = SIDE_HEADER_BYTES;
  for (;;) {
    const dataStart = seekData(descriptor, position);
    if (dataStart === undefined) return;
    const dataEnd = seekHole(descriptor, dataStart);
    position = Math.max(dataStart, SIDE_HEADER_BYTES);
    while (position < dataEnd) {
      const count = readSync(descriptor, buffer, 0, Math.min(buffer.length, dataEnd - position), position);
      if (count === 0) return;
      const states = buffer.subarray(0, count);
      for (const state of states) {
        if (state > ZERO)
          throw new LazydiskError('DAMAGED', `${path} holds a block state ${state}, which does not exist.`);
      }
      callback(position - SIDE_HEADER_BYTES, states);
      position += count;
    }
  }
}
