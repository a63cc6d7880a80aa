/**
 * Verify: reads every record, tombstone, lock, profile, tag, list, node and chunk, checks them, and lists what is damaged instead
 * of stopping.
 *
 * First the documents and the trees (verify-tree.ts). What records and nodes point to is noted per segment. Then the
 * segments that something points to (verify-segments.ts): read whole, so that what is shared is read once and a segment's
 * own index is checked too; or, when only the structure is asked for, compared with their sizes, without reading a chunk.
 * Living and deleted snapshots are both checked: a deletion can be undone. Damage that a newer format explains
 * (UNSUPPORTED) is listed as well. Trouble of the store ends the run: it says nothing about the data.
 */
import { decodeCondemnedList } from '../format/condemned-list.js';
import type { Bytes } from '../format/geometry.js';
import {
  CONDEMNED_PREFIX,
  imagePrefix,
  IMAGES_PREFIX,
  MARKER_KEY,
  parseKey,
  profileKey,
  SEGMENTS_PREFIX,
  snapshotKey,
  tagKey,
  tombstoneKey,
  writerKey,
} from '../format/keys.js';
import { damaged } from '../format/json.js';
import { decodeMarker } from '../format/marker.js';
import { hasCode, LazydiskError } from '../util/errors.js';
import type { Repository } from './api.js';
import { Damages, type Damage } from './damages.js';
import { readTombstone } from './deletion.js';
import { isLiving, listedImages } from './listings.js';
import { readProfile } from './profiles.js';
import { readTag } from './tags.js';
import { StoredTrees } from './trees.js';
import { SegmentSizes, WholeSegments, type SegmentProgress, type SegmentVerification } from './verify-segments.js';
import { TreeVerification } from './verify-tree.js';

export type { Damage } from './damages.js';

export interface VerifyReport {
  readonly damages: readonly Damage[];
  readonly images: number;
  readonly records: number;
  readonly tombstones: number;
  readonly nodes: number;
  /** Different chunks: that were read and checked, or (structure) that trees name. */
  readonly chunks: number;
  readonly segments: number;
  /** Of segments read whole. */
  readonly readBytes: Bytes;
  /** Segments that nothing points to; null when only one image was verified. */
  readonly unreferencedSegments: number | null;
}

export interface VerifyOptions {
  /** Only what this image needs. */
  readonly image?: string | undefined;
  /** Records, nodes and sizes, without reading a chunk. */
  readonly structure?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** `totalSegments` is 0 while trees are still being walked. */
export type VerifyProgress = SegmentProgress;

/** NOT_FOUND (the image), ABORTED, and the errors of the store that are not about one object. */
export async function verifyRepository(repository: Repository, options: VerifyOptions = {}): Promise<VerifyReport> {
  return new Verification(repository, options).run();
}

class Verification {
  readonly #damages = new Damages();
  readonly #segments: SegmentVerification;
  readonly #trees: TreeVerification;
  #records = 0;
  #tombstones = 0;

  constructor(
    private readonly repository: Repository,
    private readonly options: VerifyOptions,
  ) {
    const { store } = repository;
    const { signal, structure = false } = options;
    this.#segments = structure
      ? new SegmentSizes(store, this.#damages, signal)
      : new WholeSegments(store, this.#damages, signal);
    this.#trees = new TreeVerification(
      new StoredTrees(store),
      this.#damages,
      (place, id, kind) => this.#segments.note(place, id, kind),
      signal,
    );
  }

  async run(): Promise<VerifyReport> {
    const { image, signal, onProgress = () => undefined } = this.options;
    const { store } = this.repository;
    await this.#damages.noting(MARKER_KEY, async () => decodeMarker(await store.get(MARKER_KEY, { signal })));
    const { objects } = await store.list(image === undefined ? IMAGES_PREFIX : imagePrefix(image), { signal });
    const images = listedImages(objects);
    if (image !== undefined && !images.has(image)) {
      throw new LazydiskError('NOT_FOUND', `There is no image ${image} in ${store.location}.`, { facts: { image } });
    }
    for (const [name, { snapshots }] of images) {
      for (const { number } of snapshots) await this.#record(name, number);
    }
    for (const { key } of objects) {
      const parsed = parseKey(key);
      if (parsed?.kind === 'tombstone') await this.#tombstone(parsed.image, parsed.number);
      if (parsed?.kind === 'writer') await this.#lock(parsed.image);
      if (parsed?.kind === 'profile') await this.#profile(parsed.image);
      if (parsed?.kind === 'tag') await this.#tag(parsed.image, parsed.tag);
    }
    if (image === undefined) await this.#condemned();
    const found = await this.#segments.check(onProgress);
    return {
      damages: this.#damages.list,
      images: [...images.values()].filter(isLiving).length,
      records: this.#records,
      tombstones: this.#tombstones,
      nodes: this.#trees.nodes,
      segments: this.#segments.segments,
      ...found,
      unreferencedSegments: image === undefined ? await this.#unreferenced() : null,
    };
  }

  async #record(image: string, number: number): Promise<void> {
    const key = snapshotKey(image, number);
    const record = await this.#damages.noting(key, () =>
      this.repository.readRecord(image, number, this.options.signal),
    );
    if (record === undefined) return;
    this.#records++;
    await this.#trees.check(key, record);
  }

  async #tombstone(image: string, number: number): Promise<void> {
    const key = tombstoneKey(image, number);
    const { store } = this.repository;
    const tombstone = await this.#damages.noting(key, () => readTombstone(store, image, number, this.options.signal));
    if (tombstone === undefined) return;
    this.#tombstones++;
    if (tombstone?.record) await this.#trees.check(key, tombstone.record);
  }

  async #lock(image: string): Promise<void> {
    await this.#damages.noting(writerKey(image), () => this.repository.readLock(image, this.options.signal));
  }

  async #profile(image: string): Promise<void> {
    const { store } = this.repository;
    await this.#damages.noting(profileKey(image), () => readProfile(store, image, this.options.signal));
  }

  /** That it leads to a snapshot that was deleted is no damage: an undelete may follow. */
  async #tag(image: string, tag: string): Promise<void> {
    const key = tagKey(image, tag);
    const { signal } = this.options;
    await this.#damages.noting(key, async () => {
      const found = await readTag(this.repository.store, image, tag, signal);
      if (found === null) return;
      const record = await this.repository.readRecord(image, found.number, signal).catch((error: unknown) => {
        if (hasCode(error, 'NOT_FOUND', 'DAMAGED', 'UNSUPPORTED')) return undefined; // told of the record itself
        throw error;
      });
      if (record !== undefined && record.commitId !== found.commitId) {
        throw damaged(key, `it means another commit than ${image}@${found.number} is`);
      }
    });
  }

  /** A list that can't be read keeps collections from running. */
  async #condemned(): Promise<void> {
    const { signal } = this.options;
    const { store } = this.repository;
    const { objects } = await store.list(CONDEMNED_PREFIX, { signal });
    for (const { key } of objects) {
      if (parseKey(key)?.kind !== 'condemned') continue;
      await this.#damages.noting(key, async () => decodeCondemnedList(await store.get(key, { signal }), key));
    }
  }

  async #unreferenced(): Promise<number> {
    const { objects } = await this.repository.store.list(SEGMENTS_PREFIX, { signal: this.options.signal });
    const known = objects.map(({ key }) => parseKey(key));
    return known.filter((parsed) => parsed?.kind === 'segment' && !this.#segments.has(parsed.segment)).length;
  }
}
