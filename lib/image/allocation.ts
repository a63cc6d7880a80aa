/**
 * Where a disk has data: SEEK_DATA, SEEK_HOLE and st_blocks.
 *
 * They tell the truth about zero and data, never about local and remote: in chunks for the base, in blocks for layers, all
 * three by the same rule. Only tree nodes are read, never chunks.
 */
import { BLOCK_SIZE } from '../format/geometry.js';
import { hasCode } from '../util/errors.js';
import type { Base } from './base.js';
import type { Layer } from './layer.js';
import { STATES_PER_FLAG } from './plane.js';
import { isFromBase, isFromLayer } from './serve.js';

/** A disk at one moment. `layers` oldest first. */
export interface Extents {
  readonly base: Base;
  readonly layers: readonly Layer[];
  readonly sizeBytes: number;
}

/** The next offset >= `offset` that is data (or hole); undefined when there is none before the end. */
export async function seekExtent(
  disk: Extents,
  offset: number,
  whence: 'data' | 'hole',
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  if (offset >= disk.sizeBytes) return undefined;
  const wanted = whence === 'data';
  for (let position = offset; position < disk.sizeBytes;) {
    const extent = await extentAt(disk, position, wanted, signal);
    if (extent.isData === wanted) return position;
    position = extent.end;
  }
  // The end of the disk counts as a hole.
  return wanted ? undefined : disk.sizeBytes;
}

/** How long a count waits for nodes that are not local, milliseconds: stat(2) must answer while the store is away. */
const PATIENCE_MS = 2000;

/** Allocated bytes: non-zero chunks of the base, changed by what the layers say of blocks. */
export async function countAllocated(disk: Extents): Promise<number> {
  const { base, layers } = disk;
  if (layers.length === 0) return base.tree.allocatedBytes;
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const chunkSize = base.tree.chunkSizeBytes;
  const cut = Math.min(...layers.map((layer) => layer.cutBlock));
  const planes = layers.map((layer) => layer.plane());
  let allocated = base.tree.allocatedBytes;
  const firstCutChunk = Math.ceil((cut * BLOCK_SIZE) / chunkSize);
  if (firstCutChunk < base.chunks) allocated -= (await countOr(base, firstCutChunk, patience)) * chunkSize;

  let known: { readonly chunk: number; readonly inBase: boolean } | undefined;
  for (const first of touchedGroups(layers)) {
    for (let block = first; block < first + STATES_PER_FLAG; block++) {
      if (isFromBase(planes, block)) continue;
      const chunk = Math.floor((block * BLOCK_SIZE) / chunkSize);
      if (known?.chunk !== chunk) {
        known = { chunk, inBase: chunk < firstCutChunk && !(await isZeroInBase(base, chunk, patience)) };
      }
      const isData = isFromLayer(planes, block);
      if (isData && !known.inBase) allocated += BLOCK_SIZE;
      if (!isData && known.inBase) allocated -= BLOCK_SIZE;
    }
  }
  return Math.max(0, allocated);
}

/** First blocks of the groups in which some layer may hold something, ascending. */
export function touchedGroups(layers: readonly Layer[]): number[] {
  const groups = new Set<number>();
  for (const layer of layers) layer.blocks.forEachTouchedGroup((first) => groups.add(first));
  return [...groups].sort((a, b) => a - b);
}

interface Extent {
  readonly isData: boolean;
  readonly end: number;
}

async function extentAt(
  disk: Extents,
  position: number,
  wantData: boolean,
  signal: AbortSignal | undefined,
): Promise<Extent> {
  const { base, layers, sizeBytes } = disk;
  const planes = layers.map((layer) => layer.plane());
  const chunkSize = base.tree.chunkSizeBytes;
  const chunk = Math.floor(position / chunkSize);
  const chunkEnd = Math.min((chunk + 1) * chunkSize, sizeBytes);
  const block = Math.floor(position / BLOCK_SIZE);
  const inBase = (await base.entry(chunk, signal)) !== null;
  const isData = isFromLayer(planes, block) || (inBase && isFromBase(planes, block));
  let last = block;
  const isSame = (next: number): boolean =>
    (isFromLayer(planes, next) || (inBase && isFromBase(planes, next))) === isData;
  while ((last + 1) * BLOCK_SIZE < chunkEnd && isSame(last + 1)) last++;
  const end = Math.min((last + 1) * BLOCK_SIZE, chunkEnd);
  // A long stretch of nothing is passed in one step: to the next chunk of the base or the next group of a layer.
  if (wantData && !isData && end === chunkEnd) {
    const nextChunk = await base.nextData(chunk + 1, signal);
    const nextGroup = nextTouchedBlock(layers, Math.floor(end / BLOCK_SIZE));
    const next = Math.min(
      nextChunk === undefined ? sizeBytes : nextChunk * chunkSize,
      nextGroup === undefined ? sizeBytes : nextGroup * BLOCK_SIZE,
      sizeBytes,
    );
    return { isData, end: Math.max(end, next) };
  }
  return { isData, end };
}

/** The first block >= `from` in a group that some layer has touched. */
function nextTouchedBlock(layers: readonly Layer[], from: number): number | undefined {
  let next: number | undefined;
  for (const layer of layers) {
    const block = layer.blocks.nextTouched(from);
    if (block !== undefined && (next === undefined || block < next)) next = block;
  }
  return next;
}

/** What can't be asked now counts as data: an estimate, corrected when the store is back. */
async function isZeroInBase(base: Base, chunk: number, patience: AbortSignal): Promise<boolean> {
  if (chunk >= base.chunks || base.isKnownZero(chunk)) return true;
  if (base.isHere(chunk)) return false;
  try {
    return (await base.entry(chunk, patience)) === null;
  } catch (error) {
    if (hasCode(error, 'UNREACHABLE', 'REFUSED', 'ABORTED')) return false;
    throw error;
  }
}

async function countOr(base: Base, firstChunk: number, patience: AbortSignal): Promise<number> {
  try {
    return await base.countData(firstChunk, patience);
  } catch (error) {
    if (hasCode(error, 'UNREACHABLE', 'REFUSED', 'ABORTED')) return 0;
    throw error;
  }
}
