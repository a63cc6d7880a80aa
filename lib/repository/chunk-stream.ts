/**
 * All chunks of a tree that are not zero, in order, with their bytes, verified: what export reads.
 *
 * Chunks that stand one after the other in a segment travel in one ranged GET; several GETs are under way at once, and what
 * is ahead is bounded in bytes, stored and decoded. A wrong chunk is fetched again once by itself, then DAMAGED.
 */
import type { Bytes, ChunkNumber } from '../format/geometry.js';
import type { ChunkReference } from '../format/references.js';
import type { ObjectStore } from '../store/object-store.js';
import { hasCode } from '../util/errors.js';
import type { TreeReader, TreeShape } from './api.js';
import { decodeVerified, fetchVerified, readSegmentRange } from './verified-fetch.js';

/** One GET has at most so many bytes, as they are stored (or one chunk), ... */
const RUN_BYTES = 4 * 1024 * 1024;
/** ... and at most so many when they are decoded (or one chunk). */
const RUN_DECODED_BYTES = 8 * 1024 * 1024;
/** GETs under way at once. */
const PARALLEL_RUNS = 8;

/** A chunk and its bytes, which belong to whoever reads them. */
export interface FetchedChunk {
  readonly chunk: ChunkNumber;
  readonly bytes: Buffer;
}

/** Chunks whose bytes stand one after the other in a segment. At least one. */
export interface Run {
  readonly chunks: readonly { readonly chunk: ChunkNumber; readonly reference: ChunkReference }[];
}

/** DAMAGED, UNREACHABLE, ABORTED: thrown where the chunk would have come. */
export async function* streamChunks(
  store: ObjectStore,
  trees: TreeReader,
  tree: TreeShape,
  signal?: AbortSignal,
): AsyncGenerator<FetchedChunk> {
  const ahead: Promise<FetchedChunk[]>[] = [];
  for await (const run of planRuns(trees.chunks(tree, 0, signal), tree.chunkSizeBytes)) {
    const fetched = fetchRun(store, run, tree.chunkSizeBytes, signal);
    fetched.catch(() => undefined); // seen in its turn
    ahead.push(fetched);
    if (ahead.length >= PARALLEL_RUNS) yield* await ahead.shift()!;
  }
  while (ahead.length > 0) yield* await ahead.shift()!;
}

/** Joins neighbours in the image that are neighbours in a segment. */
export async function* planRuns(
  chunks: AsyncIterable<[ChunkNumber, ChunkReference]>,
  chunkSizeBytes: Bytes,
): AsyncGenerator<Run> {
  const mostChunks = Math.max(1, Math.floor(RUN_DECODED_BYTES / chunkSizeBytes));
  let run: { chunk: ChunkNumber; reference: ChunkReference }[] = [];
  let runBytes = 0;
  for await (const [chunk, reference] of chunks) {
    const last = run.at(-1)?.reference;
    const follows =
      last !== undefined &&
      run.length < mostChunks &&
      last.segment === reference.segment &&
      last.offsetBytes + last.storedBytes === reference.offsetBytes &&
      runBytes + reference.storedBytes <= RUN_BYTES;
    if (!follows && run.length > 0) {
      yield { chunks: run };
      run = [];
      runBytes = 0;
    }
    run.push({ chunk, reference });
    runBytes += reference.storedBytes;
  }
  if (run.length > 0) yield { chunks: run };
}

async function fetchRun(
  store: ObjectStore,
  { chunks }: Run,
  chunkSizeBytes: Bytes,
  signal: AbortSignal | undefined,
): Promise<FetchedChunk[]> {
  const first = chunks[0]!.reference;
  const lengthBytes = chunks.reduce((sum, { reference }) => sum + reference.storedBytes, 0);
  const range = { segment: first.segment, offsetBytes: first.offsetBytes, lengthBytes };
  // A range that can't be had whole is fetched chunk by chunk below, so that the error names the chunk.
  const bytes = await readSegmentRange(store, range, signal).catch((error: unknown) => {
    if (hasCode(error, 'DAMAGED')) return undefined;
    throw error;
  });
  return Promise.all(
    chunks.map(async ({ chunk, reference }) => {
      const begin = reference.offsetBytes - first.offsetBytes;
      const stored = bytes?.subarray(begin, begin + reference.storedBytes);
      const payload = stored === undefined ? undefined : await decodeVerified(reference, stored, chunkSizeBytes);
      if (Buffer.isBuffer(payload)) return { chunk, bytes: payload };
      return { chunk, bytes: await fetchVerified(store, reference, chunkSizeBytes, `chunk ${chunk}`, signal) };
    }),
  );
}
