/**
 * Which image a name means: what the store says, and what this host has under that name.
 *
 * Names are used again, ids are not. An image of ours that nobody else could have (a local clone, one with changes, one whose
 * lock we hold) keeps its name whatever the store says; any other name means the image that the store has under it now.
 * The earlier one may still have files here, so it is known by its id until the catalogue is closed.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { isImageName } from '../format/keys.js';
import type { RandomId } from '../format/references.js';
import { hasCode, messageOf } from '../util/errors.js';
import { readHeadRecord } from './head-record.js';
import type { LocalHead } from './head.js';
import { LocalImage } from './local-image.js';
import type { ImageParts } from './local-image.js';
import { loadHead } from './make-head.js';

/** How long the start waits for the store to say whether an interrupted commit has happened, milliseconds. */
const RECONCILE_MS = 3000;

export class NamedImages {
  private readonly images = new Map<string, LocalImage>();
  /** Those that had files here at the start, or gave their name to another. */
  private readonly own = new Map<RandomId, LocalImage>();

  constructor(private readonly parts: ImageParts) {}

  /** Opens the heads that have files, so that they work while the store is away. DAMAGED names the file that can't be read. */
  async openHeads(): Promise<void> {
    const directory = this.parts.heads.headsDirectory;
    const names = await readdir(directory).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    for (const name of names) await this.openHead(join(directory, name));
  }

  /** What a name means now; asks the store unless the image is ours beyond doubt. undefined: nothing. */
  async find(name: string, signal?: AbortSignal): Promise<LocalImage | undefined> {
    if (!isImageName(name)) return undefined;
    const { listings } = this.parts;
    const known = this.images.get(name);
    // Our own changes come first, whatever the store says of the name meanwhile.
    if (known?.ownHead !== undefined && isHeld(known.ownHead)) return known;
    const newest = (await (known?.published.listed(signal) ?? listings.snapshots(name, signal))).at(-1);
    // A number is never used twice, so this is the image that we know.
    if (newest !== undefined && known?.ownHead?.record.base?.number === newest.number) return known;
    if (newest === undefined) {
      if (known?.ownHead !== undefined) return known;
      const { writer } = await (known?.published.listing(signal) ?? listings.listing(name, signal));
      if (writer === null) {
        this.images.delete(name);
        return undefined;
      }
      return this.remember(name, writer.imageId);
    }
    const record = await listings.record(name, newest.number, signal);
    return this.remember(name, record.imageId);
  }

  /** What the name meant last; nothing is asked. */
  known(name: string): LocalImage | undefined {
    return this.images.get(name);
  }

  /** One for each name, as it was found last. */
  all(): LocalImage[] {
    return [...this.images.values()];
  }

  /** An image that was made here. */
  add(image: LocalImage): void {
    this.images.set(image.name, image);
  }

  /** An image that is no more. */
  forget(image: LocalImage): void {
    this.images.delete(image.name);
    this.own.delete(image.id);
  }

  /** Also those whose name means another image now. */
  everKnown(): LocalImage[] {
    return [...new Set([...this.images.values(), ...this.own.values()])];
  }

  /** The end: nothing is known any more. */
  clear(): void {
    this.images.clear();
    this.own.clear();
  }

  private async openHead(directory: string): Promise<void> {
    const record = await readHeadRecord(join(directory, 'head.json')).catch(async (error: unknown) => {
      if (!hasCode(error, 'NOT_FOUND')) throw error;
      // A kill came before the first record: nothing in the folder was ever used.
      await rm(directory, { recursive: true, force: true });
      return undefined;
    });
    if (record === undefined) return;
    const head = await loadHead(this.parts.heads, record);
    const image = new LocalImage(this.parts, record.image, record.imageId, head);
    this.own.set(record.imageId, image);
    const known = this.images.get(record.image)?.ownHead;
    if (known === undefined || !isHeld(known)) this.images.set(record.image, image);
    if (record.layers.some((layer) => layer.commitIds.length > 0)) {
      await image.reconcile(AbortSignal.timeout(RECONCILE_MS)).catch((error: unknown) => {
        this.parts.heads.log.warn(`${record.image}: an interrupted commit is decided by the next one`, {
          error: messageOf(error),
        });
      });
    }
    if (!this.parts.readOnly) head.lock.catchUp();
  }

  private remember(name: string, id: RandomId): LocalImage {
    const known = this.images.get(name);
    if (known?.id === id) return known;
    if (known?.ownHead !== undefined) this.own.set(known.id, known);
    const image = this.own.get(id) ?? new LocalImage(this.parts, name, id, undefined);
    this.images.set(name, image);
    return image;
  }
}

/** Whether an image's name means the one that this host has, whatever the store says of that name. */
function isHeld(head: LocalHead): boolean {
  return head.isLocal || head.isDirty() || head.record.lockHeld;
}
