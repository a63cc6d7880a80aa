/**
 * Writing a part of a block that is not `data` in the top layer: the rest of the block is read from below (a layer, the
 * base, or zeros), and the whole block is written. Old sectors may lie under a `zero` as well, so that counts like `below`.
 *
 * Only behind the gate: two such writes to one block would erase each other, and a worker that wrote the whole block
 * meanwhile would be undone.
 */
import { BLOCK_SIZE } from '../format/geometry.js';
import type { LayerPlane, Plane } from './plane.js';
import { DATA } from './plane.js';
import type { TransientChunks } from './serve.js';
import { MISS, readHere, writeHere } from './serve.js';

/** The blocks, at most two, that a write covers in part and that are not data in the layer. */
export function foreignEdges(layer: LayerPlane, offset: number, length: number): number[] {
  const end = offset + length;
  const first = Math.floor(offset / BLOCK_SIZE);
  const last = Math.floor((end - 1) / BLOCK_SIZE);
  const edges: number[] = [];
  const firstIsPart = offset % BLOCK_SIZE !== 0 || (first === last && end % BLOCK_SIZE !== 0);
  if (firstIsPart && layer.states[first] !== DATA) edges.push(first);
  if (last !== first && end % BLOCK_SIZE !== 0 && layer.states[last] !== DATA) edges.push(last);
  return edges;
}

/** Writes `bytes`, composing the edges. False, with nothing changed, when a chunk that an edge needs is not here. */
export function writeComposed(
  plane: Plane,
  layer: LayerPlane,
  offset: number,
  bytes: Buffer,
  transient: TransientChunks,
): boolean {
  const end = offset + bytes.length;
  const composed: [block: number, bytes: Buffer][] = [];
  for (const block of foreignEdges(layer, offset, bytes.length)) {
    const start = block * BLOCK_SIZE;
    const whole = Buffer.allocUnsafe(BLOCK_SIZE);
    if (readHere(plane, start, BLOCK_SIZE, whole, 0, transient) === MISS) return false;
    const from = Math.max(offset, start);
    const to = Math.min(end, start + BLOCK_SIZE);
    whole.set(bytes.subarray(from - offset, to - offset), from - start);
    composed.push([block, whole]);
  }
  let from = offset;
  let to = end;
  for (const [block, whole] of composed) {
    writeHere(plane, layer, whole, 0, block * BLOCK_SIZE, BLOCK_SIZE);
    if (block * BLOCK_SIZE <= from) from = Math.min(end, (block + 1) * BLOCK_SIZE);
    else to = block * BLOCK_SIZE;
  }
  if (from < to) writeHere(plane, layer, bytes, from - offset, from, to - from);
  return true;
}
