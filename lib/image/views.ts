/**
 * Contracts for those who look at images again and again, as a page does: what this host knows, without a request to the
 * store and without a word to those who serve the guests. Only what says so may ask the store.
 */
import type { Bytes } from '../format/geometry.js';
import type { HeadUsage, ImageStatus } from './api.js';
import type { ImagePicture } from './picture.js';

/** How far the upload of a commit is. */
export interface UploadProgress {
  readonly doneChunks: number;
  readonly totalChunks: number;
}

/** An image at this moment; what is named as in ImageStatus means the same. */
export interface ImageGlance
  extends HeadUsage, Pick<ImageStatus, 'image' | 'baseNumber' | 'localCloneOf' | 'fill' | 'hydrating'> {
  /** 0: not known, since nobody has opened it. */
  readonly chunkSizeBytes: Bytes;
  /** Chunks that were read at least once since this mount has the image. */
  readonly touchedChunks: number;
  /** null: no commit is uploading. */
  readonly upload: UploadProgress | null;
}

/** In which order chunks were wanted, as cells of a picture (orderCells of picture.ts). */
export interface ReadOrder {
  readonly chunks: number;
  readonly cells: Uint8Array<ArrayBuffer>;
}

export interface FirstReads {
  readonly chunks: number;
  readonly chunksPerCell: number;
  /** First reads since this mount has the image. */
  readonly touched: ReadOrder;
  /** By the boot profile that the image was opened by, or that is kept with it. */
  readonly profile: ReadOrder;
}

/** One image to look at. Everything is null while nothing of it is in memory. */
export interface ImageView {
  glance(): ImageGlance | null;
  /** In at most `mostCells` cells. ABORTED. */
  picture(mostCells: number, signal?: AbortSignal): Promise<ImagePicture | null>;
  /** May ask the store for the profile. DAMAGED, UNREACHABLE. */
  firstReads(mostCells: number): Promise<FirstReads | null>;
  /** Asks the store which chunks there are, for pictures of an image that nobody has read. UNREACHABLE, DAMAGED, ABORTED. */
  lookUp(signal?: AbortSignal): Promise<void>;
}

/** What a catalogue lets be looked at. */
export interface ImageViews {
  /** Of the images that were found so far, ascending by name. */
  glances(): readonly ImageGlance[];
  /** Finds the image and its head, or the newest snapshot on a read-only mount: may ask the store. undefined: there is none. */
  view(name: string, signal?: AbortSignal): Promise<ImageView | undefined>;
}
