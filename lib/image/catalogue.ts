/**
 * All images of one mount: what the store lists, and the heads of this state directory.
 *
 * Heads that have files are opened at the start, so that they work while the store is away; whether a commit that was
 * interrupted has happened is asked then, and again by the next commit. Everything else is found when it is looked up
 * (named-images.ts). At the end all is flushed, and locks by which nothing is lost are given up.
 */
import { randomId } from '../format/checksums.js';
import { assertImageName, isImageName } from '../format/keys.js';
import { hasCode, LazydiskError, messageOf } from '../util/errors.js';
import type { Catalogue, CloneOptions, CloneOutcome, Health } from './api.js';
import { imageParts } from './catalogue-parts.js';
import type { CatalogueOptions } from './catalogue-parts.js';
import { cloneInStore, cloneLocally } from './clone-image.js';
import { ownBase } from './head-record.js';
import type { LocalHead } from './head.js';
import { assertWritable, LocalImage } from './local-image.js';
import type { ImageParts } from './local-image.js';
import { NamedImages } from './named-images.js';
import type { ImageGlance, ImageView, ImageViews } from './views.js';

/** A look ahead reads the records of at most so many images: it is made for the one that is opened next. */
const MOST_AHEAD = 16;
/** How long a removal waits for the store to say whether there is a lock that nobody needs, milliseconds. */
const STRAY_LOCK_MS = 3000;

/** Opens the heads of the state directory. DAMAGED names the file that can't be read. */
export async function openCatalogue(options: CatalogueOptions): Promise<Catalogue & ImageViews> {
  const closing = new AbortController();
  const parts = imageParts(options, closing.signal);
  const images = new NamedImages(parts);
  await images.openHeads();
  return new LocalCatalogue(parts, images, closing);
}

class LocalCatalogue implements Catalogue, ImageViews {
  constructor(
    private readonly parts: ImageParts,
    private readonly images: NamedImages,
    private readonly closing: AbortController,
  ) {}

  readonly health = (): Health => {
    if (this.parts.listings.isOffline()) return 'offline';
    const failed = this.images.all().some((image) => image.ownHead?.disk.failure !== undefined);
    return failed ? 'degraded' : 'ok';
  };

  doubtStore(): void {
    this.parts.storeWatch.doubt();
  }

  async names(signal?: AbortSignal): Promise<readonly string[]> {
    const own = this.images.all().filter((image) => image.ownHead !== undefined);
    const local = own.map((image) => image.name);
    const listed = await this.parts.listings.names(signal, local.length > 0 ? local : undefined);
    return [...new Set([...listed, ...local])].filter(isImageName).sort();
  }

  async lookAhead(): Promise<void> {
    const { listings, closing } = this.parts;
    const newest = await listings.newest(closing);
    if (newest.length > MOST_AHEAD) return;
    await Promise.all(newest.map(({ image, number }) => listings.record(image, number, closing)));
  }

  glances(): readonly ImageGlance[] {
    const glances = this.images.all().flatMap((image) => image.view.glance() ?? []);
    return glances.sort((a, b) => (a.image < b.image ? -1 : 1));
  }

  async view(name: string, signal?: AbortSignal): Promise<ImageView | undefined> {
    const image = await this.find(name, signal);
    await image?.view.prepare(signal);
    return image?.view;
  }

  held(): readonly LocalImage[] {
    const held = this.images.all().filter((image) => image.usesHost);
    return held.sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  find(name: string, signal?: AbortSignal): Promise<LocalImage | undefined> {
    return this.images.find(name, signal);
  }

  async create(name: string, signal?: AbortSignal): Promise<LocalImage> {
    assertImageName(name);
    assertWritable(this.parts);
    if ((await this.find(name, signal)) !== undefined) {
      throw new LazydiskError('EXISTS', `There is an image ${name} already.`);
    }
    const image = new LocalImage(this.parts, name, randomId(), undefined);
    await image.reserve(signal);
    this.images.add(image);
    this.parts.listings.invalidate();
    return image;
  }

  async remove(name: string): Promise<void> {
    assertWritable(this.parts);
    const image = await this.existing(name);
    const head = image.ownHead;
    const listing = await image.published.listing();
    if (head === undefined || ownBase(head.record) !== null || listing.snapshots.length > 0) {
      throw new LazydiskError('CONFLICT', `${name} has snapshots: delete it with \`lazydisk delete\`.`);
    }
    await head.remove(() => this.releaseLock(head));
    this.images.forget(image);
    this.parts.listings.invalidate();
  }

  /**
   * The store knows nothing of a local clone, unless its first commit was cut off behind its lock: that is not worth waiting
   * for a store that is away.
   */
  private async releaseLock({ record, isLocal }: LocalHead): Promise<void> {
    const { repository, stateId } = this.parts.heads;
    const isNeeded = !isLocal || record.lockHeld;
    const signal = isNeeded ? undefined : AbortSignal.timeout(STRAY_LOCK_MS);
    await repository.releaseLock(record.image, stateId, signal).catch((error: unknown) => {
      if (isNeeded || !hasCode(error, 'UNREACHABLE', 'ABORTED')) throw error;
    });
  }

  async clone(name: string, newName: string, options: CloneOptions): Promise<CloneOutcome> {
    assertImageName(newName);
    assertWritable(this.parts);
    const clone = options.local === true ? cloneLocally : cloneInStore;
    return clone(this.parts, this.images, name, newName, options);
  }

  async unlock(name: string): Promise<void> {
    await (await this.existing(name)).unlock();
  }

  async close(timeoutMs: number): Promise<void> {
    const { log, attendances } = this.parts.heads;
    const signal = AbortSignal.timeout(timeoutMs);
    // A commit that is cut off leaves its layers as they are; the next start asks whether it has happened.
    this.closing.abort();
    await attendances.close(signal);
    const images = this.images.everKnown();
    for (const image of images) await image.settled();
    const heads = images.flatMap((image) => image.ownHead ?? []);
    for (const head of heads) {
      await head.fsync().catch((error: unknown) => {
        log.error(`writes of ${head.record.image} could not be synced`, { error: messageOf(error) });
      });
    }
    await Promise.all(
      heads.map((head) =>
        head.releaseLockIfClean(signal).catch((error: unknown) => {
          log.warn(`the lock of ${head.record.image} is kept`, { error: messageOf(error) });
        }),
      ),
    );
    await Promise.all(heads.map((head) => head.close()));
    this.images.clear();
  }

  private async existing(name: string): Promise<LocalImage> {
    const image = await this.find(name);
    if (image === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`);
    return image;
  }
}
