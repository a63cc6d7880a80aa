/**
 * Verify: reads every record, tombstone, lock, node and chunk, checks them, and lists what is damaged instead of stopping.
 *
 * First the documents and the trees: each node once, however many snapshots share it. What leaves and nodes point to is
 * noted per segment. Then each segment that something points to is read whole, once: header, index, every payload against
 * its checksums, and every reference against the index. So what is shared is read once, and a segment's own index (which
 * rebuilding would need) is checked too. Living and deleted snapshots are both checked: a deletion can be undone.
 * Damage that a newer format explains (UNSUPPORTED) is listed as well. Trouble of the store ends the run: it says nothing
 * about the data.
 */
import PQueue from 'p-queue';
import { isStoredSize } from '../format/codec.js';
import { chunkCount, chunksPerEntry, rootLevel, type Bytes } from '../format/geometry.js';
import {
  imagePrefix,
  IMAGES_PREFIX,
  MARKER_KEY,
  parseKey,
  segmentKey,
  SEGMENTS_PREFIX,
  snapshotKey,
  tombstoneKey,
  writerKey,
} from '../format/keys.js';
import { decodeMarker } from '../format/marker.js';
import type { NodeReference, Place, SegmentId, TreeNode } from '../format/references.js';
import type { SnapshotRecord } from '../format/snapshot-record.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { Repository, TreeReader } from './api.js';
import { readTombstone } from './deletion.js';
import { isLiving, listedImages } from './listings.js';
import { checkSegment, References } from './verify-segment.js';
import { StoredTrees } from './trees.js';

/** Segments that are read at once, of up to 32 MiB each. */
const PARALLEL_SEGMENTS = 2;
/** Leaves that are loaded at once. */
const PARALLEL_NODES = 8;

export interface Damage {
  /** Key of the object. */
  readonly object: string;
  /** What is wrong with it, a sentence. */
  readonly what: string;
}

export interface VerifyReport {
  readonly damages: readonly Damage[];
  readonly images: number;
  readonly records: number;
  readonly tombstones: number;
  readonly nodes: number;
  /** Different chunks that were read and checked. */
  readonly chunks: number;
  readonly segments: number;
  readonly readBytes: Bytes;
  /** Segments that nothing points to; null when only one image was verified. */
  readonly unreferencedSegments: number | null;
}

export interface VerifyOptions {
  /** Only what this image needs. */
  readonly image?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

export interface VerifyProgress {
  readonly checkedSegments: number;
  /** 0 while trees are still being walked. */
  readonly totalSegments: number;
  readonly readBytes: Bytes;
}

/** NOT_FOUND (the image), ABORTED, and the errors of the store that are not about one object. */
export async function verifyRepository(repository: Repository, options: VerifyOptions = {}): Promise<VerifyReport> {
  return new Verification(repository, options).run();
}

/** What holds for all nodes of one tree. */
interface Walk {
  /** Key of the record, for what is wrong with the tree itself. */
  readonly object: string;
  readonly chunkSizeBytes: Bytes;
  /** Number of chunks of the image. */
  readonly end: number;
  readonly trees: TreeReader;
}

class Verification {
  readonly #damages: Damage[] = [];
  readonly #references = new Map<SegmentId, References>();
  /** Nodes that were walked, and how many chunks they reach; NaN: not all of them could be read. */
  readonly #nodes = new Map<string, number>();
  #records = 0;
  #tombstones = 0;
  #readBytes = 0;

  constructor(
    private readonly repository: Repository,
    private readonly options: VerifyOptions,
  ) {}

  async run(): Promise<VerifyReport> {
    const { image, signal } = this.options;
    const { store } = this.repository;
    await this.#check(MARKER_KEY, async () => decodeMarker(await store.get(MARKER_KEY, { signal })));
    const { objects } = await store.list(image === undefined ? IMAGES_PREFIX : imagePrefix(image), { signal });
    const images = listedImages(objects);
    if (image !== undefined && !images.has(image)) {
      throw new LazydiskError('NOT_FOUND', `There is no image ${image} in ${store.location}.`, { facts: { image } });
    }
    const trees = new StoredTrees(store);
    for (const [name, { snapshots, hasLock }] of images) {
      for (const { number } of snapshots) await this.#record(name, number, trees);
      if (hasLock) await this.#check(writerKey(name), () => this.repository.readLock(name, signal));
    }
    for (const { key } of objects) {
      const parsed = parseKey(key);
      if (parsed?.kind === 'tombstone') await this.#tombstone(parsed.image, parsed.number, trees);
    }
    const chunks = await this.#segments();
    return {
      damages: this.#damages,
      images: [...images.values()].filter(isLiving).length,
      records: this.#records,
      tombstones: this.#tombstones,
      nodes: this.#nodes.size,
      chunks,
      segments: this.#references.size,
      readBytes: this.#readBytes,
      unreferencedSegments: image === undefined ? await this.#unreferenced() : null,
    };
  }

  async #record(image: string, number: number, trees: TreeReader): Promise<void> {
    const record = await this.#check(snapshotKey(image, number), () =>
      this.repository.readRecord(image, number, this.options.signal),
    );
    if (record === undefined) return;
    this.#records++;
    await this.#tree(snapshotKey(image, number), record, trees);
  }

  async #tombstone(image: string, number: number, trees: TreeReader): Promise<void> {
    const key = tombstoneKey(image, number);
    const tombstone = await this.#check(key, () =>
      readTombstone(this.repository.store, image, number, this.options.signal),
    );
    if (tombstone === undefined) return;
    this.#tombstones++;
    if (tombstone?.record) await this.#tree(key, tombstone.record, trees);
  }

  async #tree(object: string, record: SnapshotRecord, trees: TreeReader): Promise<void> {
    if (record.root === null) return;
    const end = chunkCount(record.sizeBytes, record.chunkSizeBytes);
    const walk = { object, chunkSizeBytes: record.chunkSizeBytes, end, trees };
    const chunks = await this.#node(walk, record.root, rootLevel(end), 0);
    const found = chunks * record.chunkSizeBytes;
    if (Number.isFinite(chunks) && found !== record.allocatedBytes) {
      this.#damage(object, `it says ${record.allocatedBytes} bytes allocated, its tree has ${found}`);
    }
  }

  /** How many chunks it reaches; NaN when some part could not be read. */
  async #node(walk: Walk, reference: NodeReference, level: number, firstChunk: number): Promise<number> {
    // The place belongs to the key: the same node may be pointed to at two places, one of them wrong. A node that the end of
    // an image cuts is looked at each time: whether entries lie beyond the end depends on where it is reached.
    const isCut = firstChunk + chunksPerEntry(level + 1) > walk.end;
    const { id, segment, offsetBytes, storedBytes } = reference;
    const key = `${id} ${segment} ${offsetBytes} ${storedBytes} ${level} ${walk.chunkSizeBytes}`;
    const seen = this.#nodes.get(key);
    if (seen !== undefined && !isCut) return seen;
    if (seen === undefined) this.#note(reference, id);
    this.#nodes.set(key, NaN);
    const node = await this.#check(segmentKey(segment), () => walk.trees.node(reference, this.options.signal));
    if (node === undefined) return NaN;
    if (node.level !== level) {
      this.#damage(walk.object, `a tree node has level ${node.level}, not ${level}`);
      return NaN;
    }
    const chunks = await this.#entries(walk, node, firstChunk);
    this.#nodes.set(key, chunks);
    return chunks;
  }

  async #entries(walk: Walk, node: TreeNode, firstChunk: number): Promise<number> {
    const span = chunksPerEntry(node.level);
    const counts: Promise<number>[] = [];
    let total = 0;
    for (const [index, entry] of node.entries.entries()) {
      if (entry === null) continue;
      const chunk = firstChunk + index * span;
      if (chunk >= walk.end) {
        this.#damage(walk.object, `its tree has data beyond the end of the image (chunk ${chunk} of ${walk.end})`);
        total = NaN;
      } else if (node.level > 0) {
        counts.push(this.#node(walk, entry, node.level - 1, chunk));
        // Leaves are loaded several at once; what is above them one after the other.
        if (counts.length >= (node.level === 1 ? PARALLEL_NODES : 1)) total += sum(await Promise.all(counts.splice(0)));
      } else if (!isStoredSize(entry.codec, entry.storedBytes, walk.chunkSizeBytes)) {
        this.#damage(
          walk.object,
          `chunk ${chunk} is stored in ${entry.storedBytes} bytes (${entry.codec}), where chunks have ${walk.chunkSizeBytes}`,
        );
        total = NaN;
      } else {
        this.#note(entry, entry.id);
        total++;
      }
    }
    return total + sum(await Promise.all(counts));
  }

  #note(place: Place, id: string): void {
    const references = this.#references.get(place.segment) ?? new References();
    this.#references.set(place.segment, references);
    references.add(id, place);
  }

  /** Reads and checks every segment that something points to. Resolves to the number of chunks in them. */
  async #segments(): Promise<number> {
    const { signal, onProgress } = this.options;
    const queue = new PQueue({ concurrency: PARALLEL_SEGMENTS });
    const chunks = new Set<string>();
    let checkedSegments = 0;
    await Promise.all(
      [...this.#references].map(([segment, references]) =>
        queue.add(async () => {
          signal?.throwIfAborted();
          const key = segmentKey(segment);
          const bytes = await this.#check(key, () => this.repository.store.get(key, { signal }));
          if (bytes !== undefined) {
            this.#readBytes += bytes.length;
            const found = await checkSegment(segment, bytes, references);
            for (const what of found.problems) this.#damage(key, what);
            for (const id of found.chunks) chunks.add(id);
          }
          checkedSegments++;
          onProgress?.({ checkedSegments, totalSegments: this.#references.size, readBytes: this.#readBytes });
        }),
      ),
    );
    return chunks.size;
  }

  async #unreferenced(): Promise<number> {
    const { objects } = await this.repository.store.list(SEGMENTS_PREFIX, { signal: this.options.signal });
    const known = objects.map(({ key }) => parseKey(key));
    return known.filter((parsed) => parsed?.kind === 'segment' && !this.#references.has(parsed.segment)).length;
  }

  /** Does it; damage is noted and gives undefined. */
  async #check<Value>(object: string, read: () => Promise<Value>): Promise<Value | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!hasCode(error, 'DAMAGED', 'UNSUPPORTED', 'NOT_FOUND') || error.facts['bucket'] !== undefined) throw error;
      const { object: named, what } = error.facts;
      if (error.code === 'NOT_FOUND') this.#damage(object, 'it is missing');
      else this.#damage(typeof named === 'string' ? named : object, typeof what === 'string' ? what : error.message);
      return undefined;
    }
  }

  #damage(object: string, what: string): void {
    if (!this.#damages.some((damage) => damage.object === object && damage.what === what)) {
      this.#damages.push({ object, what });
    }
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
