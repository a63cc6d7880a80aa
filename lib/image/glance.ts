/**
 * What this host knows of an image, said at once: nothing is asked of the store, and nothing of the guests' way is held up.
 * For those who look again and again (a page), where `status` would list the store each time.
 */
import { chunkCount, TREE_FANOUT } from '../format/geometry.js';
import type { BootProfile } from '../format/profile.js';
import type { Mirror } from '../mirror/api.js';
import type { Attendances } from './attendance.js';
import type { Base } from './base.js';
import { chunksOf } from './boot-profile.js';
import { cloneOrigin, ownBase } from './head-record.js';
import type { LocalHead } from './head.js';
import { headUsage, snapshotUsage } from './head-usage.js';
import type { Layer } from './layer.js';
import { chunksPerCell, orderCells, takePicture, type ImagePicture, type PictureSubject } from './picture.js';
import type { FirstReads, ImageGlance } from './views.js';

/** Leaves that are looked up for a picture of an image that nobody has opened: 16 GiB in chunks of 256 KiB. */
const MOST_LEAVES_LOOKED_UP = 256;
const LEAVES_AT_ONCE = 32;

/** An image as far as it is in memory: its head, or on a read-only mount the newest snapshot that was looked at. */
export interface Known {
  readonly head: LocalHead | undefined;
  /** undefined: a snapshot that nobody has opened. */
  readonly base: Base | undefined;
  readonly snapshotNumber: number | undefined;
}

export function glanceAt(
  image: string,
  { head, base, snapshotNumber }: Known,
  attendances: Attendances,
  hydrating: ImageGlance['hydrating'],
): ImageGlance {
  return {
    image,
    ...(head === undefined ? snapshotUsage(base?.tree, base) : headUsage(head)),
    chunkSizeBytes: base?.tree.chunkSizeBytes ?? 0,
    baseNumber: (head === undefined ? snapshotNumber : ownBase(head.record)?.number) ?? null,
    localCloneOf: head === undefined ? null : cloneOrigin(head.record),
    touchedChunks: base?.touches.count() ?? 0,
    fill: base === undefined ? 'off' : attendances.fillState(base),
    hydrating,
    upload: head?.upload ?? null,
  };
}

/** null: nothing of it is in memory. */
export async function pictureOf(
  known: Known,
  mirror: Mirror,
  mostCells: number,
  signal?: AbortSignal,
): Promise<ImagePicture | null> {
  const { base } = known;
  if (base === undefined) return null;
  const subject: PictureSubject = {
    sizeBytes: known.head?.sizeBytes() ?? base.tree.sizeBytes,
    chunkSizeBytes: base.tree.chunkSizeBytes,
    words: base.map?.words ?? null,
    loadedLeaves: base.loadedLeaves(),
    fetching: base.map === null ? [] : mirror.underWay(base.map),
    layers: (known.head?.disk.openLayers ?? []).map((layer: Layer) => layer.plane()),
  };
  return takePicture(subject, mostCells, signal);
}

/**
 * Looks up which chunks of the base there are, as the first reads of a guest would: some requests for nodes of the tree, for
 * the beginning of the image. What the store does not give stays unknown.
 */
export async function lookUp(base: Base, signal?: AbortSignal): Promise<void> {
  const leaves = Math.min(Math.ceil(base.chunks / TREE_FANOUT), MOST_LEAVES_LOOKED_UP);
  for (let first = 0; first < leaves; first += LEAVES_AT_ONCE) {
    const some = Array.from({ length: Math.min(LEAVES_AT_ONCE, leaves - first) }, (_, index) => first + index);
    await Promise.all(some.map((leaf) => base.loadLeaf(leaf * TREE_FANOUT, signal)));
  }
}

/** In which order the chunks were wanted: since this mount has the image, and by its boot profile. */
export function firstReadsOf({ head, base }: Known, profile: BootProfile | null, mostCells: number): FirstReads | null {
  if (base === undefined) return null;
  const { chunkSizeBytes } = base.tree;
  const chunks = chunkCount(head?.sizeBytes() ?? base.tree.sizeBytes, chunkSizeBytes);
  const grid = { chunks, chunksPerCell: chunksPerCell(chunks, mostCells) };
  const touched = base.touches.inOrder();
  const profiled = profile === null ? [] : chunksOf(profile.ranges, chunkSizeBytes, chunks);
  return {
    ...grid,
    touched: { chunks: touched.length, cells: orderCells(touched, grid) },
    profile: { chunks: profiled.length, cells: orderCells(profiled, grid) },
  };
}
