/**
 * Reading and writing what is here: the few functions that every thread runs on a plane, workers and main thread alike.
 *
 * `serveRead` and `serveWrite` are the worker's: they look at the gate and at the size first and answer MISS when the main
 * thread has to do it. `readHere` and `writeHere` are the bare walks, for a caller that has made sure of both.
 *
 * Rule (plane.ts): the caller has said busy and taken newer planes before; the gate is loaded before any map. A slot that
 * the map names stays in place while the caller is busy (eviction waits for the fence); a state never goes back to `below`,
 * and leaves `data` only behind the gate. On this path nothing is allocated, awaited or logged.
 */
import { readSync, writeSync } from 'node:fs';

import { BLOCK_SIZE } from '../format/geometry.js';
import { FIRST_SLOT, SLOT_UNKNOWN, SLOT_ZERO } from '../mirror/api.js';
import { messageOf } from '../util/errors.js';
import {
  CONTROL_DIRTY,
  CONTROL_GATE,
  CONTROL_STATES_CHANGED,
  CONTROL_WHOLE_BLOCKS,
  DATA,
  LOG_COUNT,
  LOG_HEADER_WORDS,
  LOG_WAKE,
  MARKED,
  SIDE_HEADER_BYTES,
  STATES_PER_FLAG,
  TOUCHED,
  ZERO,
} from './plane.js';
import type { LayerPlane, Plane, TouchPlane } from './plane.js';

/** The main thread has to serve this request. */
export const MISS = -1;

/** Bytes of a chunk that is not in a slot (it could not be kept): only the main thread has such. */
export type TransientChunks = (chunk: number) => Uint8Array | undefined;

/** Where the bytes of a block come from; a layer's index from 0 up means that layer's data file. */
const FROM_BASE = -1;
const FROM_ZERO = -2;

/** The states of as many blocks as the largest request has, with a partial block at either end. */
const MAX_BLOCKS_PER_REQUEST = (1024 * 1024) / BLOCK_SIZE + 1;
const DATA_STATES = Buffer.alloc(MAX_BLOCKS_PER_REQUEST, DATA);

/**
 * Reads into `out` at `outPosition` when every byte is here. Returns `length`, or MISS. Throws what node:fs throws when
 * the local disk fails.
 */
export function serveRead(plane: Plane, offset: number, length: number, out: Buffer, outPosition: number): number {
  if (Atomics.load(plane.control, CONTROL_GATE) !== 0) return MISS;
  if (offset + length > Atomics.load(plane.control, CONTROL_WHOLE_BLOCKS) * BLOCK_SIZE) return MISS;
  return readHere(plane, offset, length, out, outPosition, undefined);
}

/**
 * Writes `length` bytes of `bytes` from `position` when no block has to be composed and the disk does not grow. Returns
 * `length`, or MISS with nothing changed. Throws what node:fs throws; then bytes may have been written, but no state
 * changed.
 */
export function serveWrite(plane: Plane, bytes: Buffer, position: number, offset: number, length: number): number {
  if (Atomics.load(plane.control, CONTROL_GATE) !== 0) return MISS;
  if (!plane.writable || length === 0) return MISS;
  if (offset + length > Atomics.load(plane.control, CONTROL_WHOLE_BLOCKS) * BLOCK_SIZE) return MISS;
  const layer = plane.layers[plane.layers.length - 1];
  if (layer === undefined || hasForeignEdge(layer, offset, length)) return MISS;
  writeHere(plane, layer, bytes, position, offset, length);
  return length;
}

/** Reads a range whose planes and size the caller has checked. MISS when a chunk of it is not local. */
export function readHere(
  plane: Plane,
  offset: number,
  length: number,
  out: Buffer,
  outPosition: number,
  transient: TransientChunks | undefined,
): number {
  const end = offset + length;
  const layers = plane.layers;
  let position = offset;
  let target = outPosition;
  while (position < end) {
    let block = Math.floor(position / BLOCK_SIZE);
    const source = layers.length === 0 ? FROM_BASE : sourceOf(layers, block);
    let runEnd = end;
    if (layers.length !== 0) {
      const lastBlock = Math.floor((end - 1) / BLOCK_SIZE);
      while (block < lastBlock && sourceOf(layers, block + 1) === source) block++;
      if (block < lastBlock) runEnd = (block + 1) * BLOCK_SIZE;
    }
    const runLength = runEnd - position;
    if (source === FROM_ZERO) {
      out.fill(0, target, target + runLength);
    } else if (source === FROM_BASE) {
      if (readBase(plane, position, runLength, out, target, transient) === MISS) return MISS;
    } else {
      readFully(layers[source]!.dataDescriptor, out, target, runLength, position);
    }
    position = runEnd;
    target += runLength;
  }
  return length;
}

/** Writes to the top layer: data, side file, states, flags, in this order. Edges have been checked or composed. */
export function writeHere(
  plane: Plane,
  layer: LayerPlane,
  bytes: Buffer,
  position: number,
  offset: number,
  length: number,
): void {
  writeFully(layer.dataDescriptor, bytes, position, length, offset);
  const first = Math.floor(offset / BLOCK_SIZE);
  const last = Math.floor((offset + length - 1) / BLOCK_SIZE);
  const states = layer.states;
  for (let block = first; block <= last; block++) {
    if (states[block] !== DATA) {
      markData(plane, layer, block, last);
      break;
    }
  }
  if (Atomics.load(plane.control, CONTROL_DIRTY) === 0) Atomics.store(plane.control, CONTROL_DIRTY, 1);
}

/** Whether a write covers a part only of a block that is not data in the layer. compose.ts lists such blocks; this allocates nothing. */
function hasForeignEdge(layer: LayerPlane, offset: number, length: number): boolean {
  if (offset % BLOCK_SIZE !== 0 && layer.states[Math.floor(offset / BLOCK_SIZE)] !== DATA) return true;
  const end = offset + length;
  return end % BLOCK_SIZE !== 0 && layer.states[Math.floor(end / BLOCK_SIZE)] !== DATA;
}

/** Whether the block's bytes come from the base: no layer has it, and no cut hides what lies below. */
export function isFromBase(layers: readonly LayerPlane[], block: number): boolean {
  return sourceOf(layers, block) === FROM_BASE;
}

/** Whether some layer holds data for the block, and no newer one hides it. */
export function isFromLayer(layers: readonly LayerPlane[], block: number): boolean {
  return sourceOf(layers, block) >= 0;
}

function markData(plane: Plane, layer: LayerPlane, first: number, last: number): void {
  for (let at = first; at <= last; at += MAX_BLOCKS_PER_REQUEST) {
    const count = Math.min(last - at + 1, MAX_BLOCKS_PER_REQUEST);
    writeFully(layer.sideDescriptor, DATA_STATES, 0, count, SIDE_HEADER_BYTES + at);
  }
  const firstFlag = Math.floor(first / STATES_PER_FLAG);
  const lastFlag = Math.floor(last / STATES_PER_FLAG);
  for (let flag = firstFlag; flag <= lastFlag; flag++) layer.touched[flag] = 1;
  layer.states.fill(DATA, first, last + 1);
  for (let flag = firstFlag; flag <= lastFlag; flag++) Atomics.store(layer.changed, flag, 1);
  Atomics.store(plane.control, CONTROL_STATES_CHANGED, 1);
}

function sourceOf(layers: readonly LayerPlane[], block: number): number {
  for (let index = layers.length - 1; index >= 0; index--) {
    const layer = layers[index]!;
    const state = layer.states[block];
    if (state === DATA) return index;
    if (state === ZERO || block >= layer.cutBlock) return FROM_ZERO;
    // BELOW, or beyond the array of an old layer that ended before the disk grew.
  }
  return FROM_BASE;
}

function readBase(
  plane: Plane,
  offset: number,
  length: number,
  out: Buffer,
  outPosition: number,
  transient: TransientChunks | undefined,
): number {
  const { slots, slotCount, chunkSizeBytes, touches } = plane;
  const end = offset + length;
  let position = offset;
  let target = outPosition;
  while (position < end) {
    let chunk = Math.floor(position / chunkSizeBytes);
    const word = slots === null || chunk >= slotCount ? SLOT_ZERO : Atomics.load(slots, chunk);
    let runEnd = (chunk + 1) * chunkSizeBytes;
    if (touches !== null && word !== SLOT_ZERO && touches.states[chunk] !== TOUCHED) noteTouch(touches, chunk);
    if (word === SLOT_UNKNOWN) {
      const bytes = transient?.(chunk);
      if (bytes === undefined) return MISS;
      const from = position % chunkSizeBytes;
      const count = Math.min(runEnd, end) - position;
      out.set(bytes.subarray(from, from + count), target);
      position += count;
      target += count;
      continue;
    }
    if (word === SLOT_ZERO) {
      if (runEnd > end) runEnd = end;
      out.fill(0, target, target + runEnd - position);
    } else {
      const slot = word - FIRST_SLOT;
      const referenced = plane.slotReferenced!;
      if (referenced[slot] === 0) referenced[slot] = 1;
      // Chunks that stand one after the other in the slot file are read at once.
      let next = word + 1;
      while (runEnd < end && chunk + 1 < slotCount && Atomics.load(slots!, chunk + 1) === next) {
        if (referenced[next - FIRST_SLOT] === 0) referenced[next - FIRST_SLOT] = 1;
        chunk++;
        if (touches !== null && touches.states[chunk] !== TOUCHED) noteTouch(touches, chunk);
        next++;
        runEnd += chunkSizeBytes;
      }
      if (runEnd > end) runEnd = end;
      const place = slot * chunkSizeBytes + (position % chunkSizeBytes);
      try {
        readFully(plane.slotDescriptor, out, target, runEnd - position, place);
      } catch (error) {
        throw new LocalChunkError(Math.floor(position / chunkSizeBytes), chunk + 1, error);
      }
    }
    target += runEnd - position;
    position = runEnd;
  }
  return length;
}

/** A chunk is read for the first time, or it is marked. Of two threads that come at once, one notes it. */
function noteTouch({ states, log }: TouchPlane, chunk: number): void {
  const before = Atomics.exchange(states, chunk, TOUCHED);
  if ((before & TOUCHED) === 0) {
    const at = LOG_HEADER_WORDS + Atomics.add(log, LOG_COUNT, 1);
    if (at < log.length) Atomics.store(log, at, chunk + 1);
  }
  if ((before & MARKED) !== 0) {
    Atomics.add(log, LOG_WAKE, 1);
    Atomics.notify(log, LOG_WAKE);
  }
}

/** Reads all of it; a file that ends early is a failed disk, not zeros. */
function readFully(descriptor: number, out: Buffer, outPosition: number, length: number, position: number): void {
  let done = 0;
  while (done < length) {
    const count = readSync(descriptor, out, outPosition + done, length - done, position + done);
    if (count === 0) throw new TruncatedFileError();
    done += count;
  }
}

/** Writes all of it. */
export function writeFully(
  descriptor: number,
  bytes: Uint8Array,
  bytesPosition: number,
  length: number,
  position: number,
): void {
  let done = 0;
  while (done < length) done += writeSync(descriptor, bytes, bytesPosition + done, length - done, position + done);
}

/** The local disk failed to give chunks of the base. They are in the store as well: base.ts gives their slots up. */
export class LocalChunkError extends Error {
  readonly code = 'EIO';

  /** One of the chunks from `first` up to, not with, `end`. */
  constructor(
    readonly first: number,
    readonly end: number,
    cause: unknown,
  ) {
    super(`chunks ${first} to ${end - 1} can't be read from the local disk: ${messageOf(cause)}`, { cause });
  }
}

/** A local file ended where data should be. */
class TruncatedFileError extends Error {
  readonly code = 'EIO';

  constructor() {
    super('EIO: a local data file is shorter than its map says');
  }
}
