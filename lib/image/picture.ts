/**
 * A picture of an image: in which state its chunks are, in a bounded number of cells, for people who look at it.
 *
 * It reads the arrays that serve the guests (slot map, states of blocks) and changes nothing in them: no gate, no fence, no
 * lock. What changes while it looks may be seen or not; the next picture shows it. An image of any size is looked at in
 * stretches, one a turn of the event loop, so that nobody waits for it longer than a stretch takes.
 *
 * A cell covers one chunk, or a power of two of them, and shows the state that matters most among these, and how many of
 * those that are not zero have it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { BLOCK_SIZE, chunkCount, TREE_FANOUT } from '../format/geometry.js';
import type { Bytes, ChunkNumber } from '../format/geometry.js';
import { SLOT_UNKNOWN, SLOT_ZERO } from '../mirror/api.js';
import { CHUNK_STATES, SHARE_SHIFT, type ChunkState } from './picture-cells.js';
import { DATA, STATES_PER_FLAG, ZERO } from './plane.js';
import type { LayerPlane } from './plane.js';

const ZERO_CHUNK = 0;
const UNKNOWN = 1;
const REMOTE = 2;
const LOCAL = 3;
const FROZEN = 4;
const DIRTY = 5;
const FETCHING = 6;

/** Of a cell, in shares of so many. */
const SHARES = 8;

/** Chunks that are looked at in one turn: a millisecond or two where each has writes. */
const CHUNKS_PER_TURN = 16_384;

export interface ImagePicture {
  readonly sizeBytes: Bytes;
  readonly chunkSizeBytes: Bytes;
  readonly chunks: number;
  readonly chunksPerCell: number;
  readonly cells: Uint8Array<ArrayBuffer>;
  /** Chunks in each state. */
  readonly counts: Readonly<Record<ChunkState, number>>;
}

/** What a picture is taken of. */
export interface PictureSubject {
  readonly sizeBytes: Bytes;
  readonly chunkSizeBytes: Bytes;
  /** The slot map of the base; null: there are only zeros below the layers. */
  readonly words: Int32Array | null;
  /** First chunks of the leaves that have been looked up: elsewhere a word says nothing. */
  readonly loadedLeaves: readonly ChunkNumber[];
  /** Chunks that are on their way to this host. */
  readonly fetching: readonly ChunkNumber[];
  /** Oldest first; the last one takes the writes. */
  readonly layers: readonly Pick<LayerPlane, 'states' | 'touched' | 'cutBlock'>[];
}

/** How many chunks a cell covers, so that there are at most `mostCells`. */
export function chunksPerCell(chunks: number, mostCells: number): number {
  let count = 1;
  while (Math.ceil(chunks / count) > mostCells) count *= 2;
  return count;
}

/** Resolves after as many turns as the image is long. Rejects with the signal's reason. */
export async function takePicture(
  subject: PictureSubject,
  mostCells: number,
  signal?: AbortSignal,
): Promise<ImagePicture> {
  const { sizeBytes, chunkSizeBytes } = subject;
  const chunks = chunkCount(sizeBytes, chunkSizeBytes);
  const perCell = chunksPerCell(chunks, mostCells);
  const cells = new Uint8Array(Math.ceil(chunks / perCell));
  const look = lookerAt(subject);
  const totals = new Array<number>(CHUNK_STATES.length).fill(0);
  const counts = new Array<number>(CHUNK_STATES.length);
  for (let cell = 0, untilPause = CHUNKS_PER_TURN; cell < cells.length; cell++) {
    counts.fill(0);
    const end = Math.min((cell + 1) * perCell, chunks);
    for (let chunk = cell * perCell; chunk < end; chunk++) {
      counts[look(chunk)]!++;
      if (--untilPause > 0) continue;
      await nextTurn();
      signal?.throwIfAborted();
      untilPause = CHUNKS_PER_TURN;
    }
    cells[cell] = cellOf(counts);
    for (const [state, count] of counts.entries()) totals[state]! += count;
  }
  return {
    sizeBytes,
    chunkSizeBytes,
    chunks,
    chunksPerCell: perCell,
    cells,
    counts: Object.fromEntries(CHUNK_STATES.map((name, state) => [name, totals[state]!])) as ImagePicture['counts'],
  };
}

/**
 * When the cells were wanted first: 1 for the first, 255 for the last, 0 for never. `order` names chunks; of those in one
 * cell the earliest counts.
 */
export function orderCells(
  order: readonly ChunkNumber[],
  { chunks, chunksPerCell: perCell }: Pick<ImagePicture, 'chunks' | 'chunksPerCell'>,
): Uint8Array<ArrayBuffer> {
  const cells = new Uint8Array(Math.ceil(chunks / perCell));
  const last = Math.max(1, order.length - 1);
  for (const [rank, chunk] of order.entries()) {
    const cell = Math.floor(chunk / perCell);
    if (chunk < chunks && cells[cell] === 0) cells[cell] = 1 + Math.floor((254 * rank) / last);
  }
  return cells;
}

/** The state that matters most, and its share of what is not zero. */
function cellOf(counts: readonly number[]): number {
  let state = counts.length - 1;
  while (state > ZERO_CHUNK && counts[state] === 0) state--;
  if (state === ZERO_CHUNK) return ZERO_CHUNK;
  let notZero = 0;
  for (let index = ZERO_CHUNK + 1; index < counts.length; index++) notZero += counts[index]!;
  return state | ((Math.ceil((SHARES * counts[state]!) / notZero) - 1) << SHARE_SHIFT);
}

/** The state of one chunk. */
function lookerAt(subject: PictureSubject): (chunk: ChunkNumber) => number {
  const { words, chunkSizeBytes } = subject;
  const blocksPerChunk = chunkSizeBytes / BLOCK_SIZE;
  const newestFirst = [...subject.layers].reverse();
  const leaves = new Set(subject.loadedLeaves.map((first) => first / TREE_FANOUT));
  const fetching = new Set(subject.fetching);
  return (chunk) => {
    if (fetching.has(chunk)) return FETCHING;
    const first = chunk * blocksPerChunk;
    for (const layer of newestFirst) {
      const here = inLayer(layer, first, first + blocksPerChunk);
      if (here === 'data') return layer === newestFirst[0] ? DIRTY : FROZEN;
      if (here === 'zero') return ZERO_CHUNK;
    }
    const word = words?.[chunk];
    if (word === undefined || word === SLOT_ZERO) return ZERO_CHUNK;
    if (word !== SLOT_UNKNOWN) return LOCAL;
    return leaves.has(Math.floor(chunk / TREE_FANOUT)) ? REMOTE : UNKNOWN;
  };
}

/** `data`: it has some of the blocks; `zero`: all of them are zeros here; `below`: what lies below shows. */
function inLayer(
  { states, touched, cutBlock }: PictureSubject['layers'][number],
  first: number,
  end: number,
): 'data' | 'zero' | 'below' {
  let zeros = 0;
  // A chunk is never longer than the blocks of one flag.
  if (touched[Math.floor(first / STATES_PER_FLAG)] === 1) {
    for (let block = first; block < end; block++) {
      if (states[block] === DATA) return 'data';
      if (states[block] === ZERO) zeros++;
    }
  }
  return zeros === end - first || first >= cutBlock ? 'zero' : 'below';
}
