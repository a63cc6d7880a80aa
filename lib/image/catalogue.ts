/**
 * All images of one mount: what the store lists, and the heads of this state directory.
 *
 * Heads that have files are opened at the start, so that they work while the store is away; whether a commit that was
 * interrupted has happened is asked then, and again by the next commit. Everything else is found when it is looked up.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { randomId } from '../format/checksums.js';
import { assertImageName, isImageName } from '../format/keys.js';
import type { RandomId } from '../format/references.js';
import type { Mirror } from '../mirror/api.js';
import type { LocalDatabase } from '../mirror/local-database.js';
import type { WorkerFence } from '../mirror/worker-fence.js';
import type { KnownPlaces, Repository, TreeReader } from '../repository/api.js';
import { clonedSize, cloneSnapshot, imageExists } from '../repository/clone.js';
import { hasCode, LazydiskError, messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { Catalogue, CloneOptions, CloneOutcome, FillMode, Health, ProfileMode } from './api.js';
import { Attendances } from './attendance.js';
import { Bases } from './base.js';
import type { CommitStep } from './commit.js';
import { ownBase, readHeadRecord } from './head-record.js';
import type { HeadParts, LocalHead } from './head.js';
import { headOfLocalClone, loadHead } from './make-head.js';
import { Listings } from './listings.js';
import { LocalImage } from './local-image.js';
import type { ImageParts } from './local-image.js';
import type { PlaneFeed } from './plane.js';
import type { ImageGlance, ImageView, ImageViews } from './views.js';

export interface CatalogueOptions {
  readonly repository: Repository;
  readonly mirror: Mirror;
  /** The database of the state directory: what was listed and read last. */
  readonly database: LocalDatabase;
  /** Heads live in its folder `heads`. */
  readonly stateDirectory: string;
  readonly stateId: RandomId;
  /** Changes when what was not synced may be gone: another boot, or the state's file system mounted anew. */
  readonly bootId: string;
  readonly trees: TreeReader;
  readonly known: KnownPlaces;
  readonly fence: WorkerFence;
  readonly planes: PlaneFeed;
  readonly readOnly: boolean;
  /** What an open image does beside serving. Default: off. */
  readonly fill?: FillMode;
  readonly profile?: ProfileMode;
  readonly log: Log;
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
  /** Called after each named step of a commit has taken effect; for tests. */
  readonly onCommitStep?: (step: CommitStep) => void;
}

/** How long the start waits for the store to say whether an interrupted commit has happened, milliseconds. */
const RECONCILE_MS = 3000;
/** A look ahead reads the records of at most so many images: it is made for the one that is opened next. */
const MOST_AHEAD = 16;

/** Opens the heads of the state directory. DAMAGED names the file that can't be read. */
export async function openCatalogue(options: CatalogueOptions): Promise<Catalogue & ImageViews> {
  const catalogue = new LocalCatalogue(options);
  await catalogue.openHeads();
  return catalogue;
}

class LocalCatalogue implements Catalogue, ImageViews {
  private readonly images = new Map<string, LocalImage>();
  /** Those that had files here at the start, or gave their name to another: a name's earlier image may still have files. */
  private readonly own = new Map<RandomId, LocalImage>();
  private readonly listings: Listings;
  private readonly parts: ImageParts;
  private readonly attendances: Attendances;
  private readonly closing = new AbortController();

  constructor(private readonly options: CatalogueOptions) {
    const now = options.now ?? Date.now;
    const { repository, mirror, fence, planes, trees, known, log, stateId, bootId } = options;
    this.listings = new Listings({ repository, database: options.database, log, now });
    const bases = new Bases({ mirror, trees, fence, known });
    this.attendances = new Attendances({
      bases,
      store: repository.store,
      readRecord: (image, number, signal) => this.listings.record(image, number, signal),
      fill: options.fill ?? 'off',
      profile: options.profile ?? 'off',
      readOnly: options.readOnly,
      log,
      now,
    });
    const heads: HeadParts = {
      bases,
      attendances: this.attendances,
      mirror,
      fence,
      feed: planes,
      log,
      repository,
      stateId,
      bootId,
      headsDirectory: join(options.stateDirectory, 'heads'),
      now,
    };
    const commits = {
      repository,
      trees,
      known,
      keep: (id: string, bytes: Uint8Array): Promise<void> =>
        mirror.insert(id, bytes).catch((error: unknown) => {
          log.warn('a committed chunk could not be kept', { error: messageOf(error) });
        }),
      stateId,
      now,
      onStep: options.onCommitStep ?? ((): void => undefined),
    };
    this.parts = { heads, commits, listings: this.listings, readOnly: options.readOnly, closing: this.closing.signal };
  }

  readonly health = (): Health => {
    if (this.listings.isOffline()) return 'offline';
    const failed = [...this.images.values()].some((image) => image.ownHead?.disk.failure !== undefined);
    return failed ? 'degraded' : 'ok';
  };

  async openHeads(): Promise<void> {
    const directory = this.parts.heads.headsDirectory;
    const names = await readdir(directory).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    });
    for (const name of names) await this.openHead(join(directory, name));
  }

  async names(signal?: AbortSignal): Promise<readonly string[]> {
    const local = [...this.images.values()].filter((image) => image.ownHead !== undefined).map((image) => image.name);
    const listed = await this.listings.names(signal, local.length > 0 ? local : undefined);
    return [...new Set([...listed, ...local])].filter(isImageName).sort();
  }

  async lookAhead(): Promise<void> {
    const newest = await this.listings.newest(this.closing.signal);
    if (newest.length > MOST_AHEAD) return;
    await Promise.all(newest.map(({ image, number }) => this.listings.record(image, number, this.closing.signal)));
  }

  glances(): readonly ImageGlance[] {
    const glances = [...this.images.values()].flatMap((image) => image.view.glance() ?? []);
    return glances.sort((a, b) => (a.image < b.image ? -1 : 1));
  }

  async view(name: string, signal?: AbortSignal): Promise<ImageView | undefined> {
    const image = await this.find(name, signal);
    await image?.view.prepare(signal);
    return image?.view;
  }

  held(): readonly LocalImage[] {
    const held = [...this.images.values()].filter((image) => image.usesHost);
    return held.sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  async find(name: string, signal?: AbortSignal): Promise<LocalImage | undefined> {
    if (!isImageName(name)) return undefined;
    const known = this.images.get(name);
    // Our own changes come first, whatever the store says of the name meanwhile.
    if (known?.ownHead !== undefined && isHeld(known.ownHead)) return known;
    const newest = (await (known?.published.listed(signal) ?? this.listings.snapshots(name, signal))).at(-1);
    // A number is never used twice, so this is the image that we know.
    if (newest !== undefined && known?.ownHead?.record.base?.number === newest.number) return known;
    if (newest === undefined) {
      if (known?.ownHead !== undefined) return known;
      const { writer } = await (known?.published.listing(signal) ?? this.listings.listing(name, signal));
      if (writer === null) {
        this.images.delete(name);
        return undefined;
      }
      return this.remember(name, writer.imageId);
    }
    const record = await this.listings.record(name, newest.number, signal);
    return this.remember(name, record.imageId);
  }

  async create(name: string, signal?: AbortSignal): Promise<LocalImage> {
    assertImageName(name);
    this.assertWritable();
    if ((await this.find(name, signal)) !== undefined) {
      throw new LazydiskError('EXISTS', `There is an image ${name} already.`);
    }
    const image = new LocalImage(this.parts, name, randomId(), undefined);
    await image.reserve(signal);
    this.images.set(name, image);
    this.listings.invalidate();
    return image;
  }

  async remove(name: string): Promise<void> {
    this.assertWritable();
    const image = await this.find(name);
    if (image === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`);
    const head = image.ownHead;
    const listing = await image.published.listing();
    if (head === undefined || ownBase(head.record) !== null || listing.snapshots.length > 0) {
      throw new LazydiskError('CONFLICT', `${name} has snapshots: delete it with \`lazydisk delete\`.`);
    }
    if (head.openCount > 0 || head.work !== null)
      throw new LazydiskError('BUSY', `${name} is open: close disk.raw first.`);
    await this.options.repository.releaseLock(name, this.options.stateId);
    this.images.delete(name);
    this.own.delete(image.id);
    await head.discard();
    this.listings.invalidate();
  }

  async clone(name: string, newName: string, options: CloneOptions): Promise<CloneOutcome> {
    assertImageName(newName);
    this.assertWritable();
    if (options.local === true) return this.cloneLocally(name, newName, options);
    const findNumber = async (): Promise<number> => {
      const source = await this.cloneSource(name, options);
      return options.number ?? (await source.cloneSource());
    };
    // A listing that looks for the source travels with the other questions; only a commit must be over before them.
    const number = options.commit === true ? await findNumber() : findNumber();
    const from = this.images.get(name)?.numberedBy ?? name;
    const record = await cloneSnapshot(this.options.repository, {
      from,
      number,
      expected: options.number === undefined ? this.listings.lastKnown(from) : undefined,
      to: newName,
      sizeBytes: options.sizeBytes,
      writerId: this.options.stateId,
      signal: options.signal,
    });
    this.listings.invalidate();
    return { image: newName, number: record.number, source: { image: from, number: await number } };
  }

  async unlock(name: string): Promise<void> {
    const image = await this.find(name);
    if (image === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`);
    await image.unlock();
  }

  async close(timeoutMs: number): Promise<void> {
    const signal = AbortSignal.timeout(timeoutMs);
    // A commit that is cut off leaves its layers as they are; the next start asks whether it has happened.
    this.closing.abort();
    await this.attendances.close(signal);
    const images = [...new Set([...this.images.values(), ...this.own.values()])];
    for (const image of images) await image.settled();
    const heads = images.flatMap((image) => image.ownHead ?? []);
    for (const head of heads) {
      const { image } = head.record;
      await head.fsync().catch((error: unknown) => {
        this.options.log.error(`writes of ${image} could not be synced`, { error: messageOf(error) });
      });
    }
    await Promise.all(
      heads.map((head) =>
        head.releaseLockIfClean(signal).catch((error: unknown) => {
          this.options.log.warn(`the lock of ${head.record.image} is kept`, { error: messageOf(error) });
        }),
      ),
    );
    for (const head of heads) await head.close();
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
    if (!record.layers.some((layer) => layer.commitIds.length > 0)) return;
    await image.reconcile(AbortSignal.timeout(RECONCILE_MS)).catch((error: unknown) => {
      this.options.log.warn(`${record.image}: an interrupted commit is decided by the next one`, {
        error: messageOf(error),
      });
    });
  }

  /** The image to clone, committed if that was asked for. NOT_FOUND. */
  private async cloneSource(name: string, { commit, signal }: CloneOptions): Promise<LocalImage> {
    const source = await this.find(name, signal);
    if (source === undefined) throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`);
    if (commit === true) await source.commit({ signal });
    return source;
  }

  /** A clone in this state directory alone. */
  private async cloneLocally(name: string, newName: string, options: CloneOptions): Promise<CloneOutcome> {
    const source = await this.cloneSource(name, options);
    const record = await source.cloneRecord(options.number, options.signal);
    const sizeBytes = clonedSize(record, options.sizeBytes);
    const origin = source.numberedBy;
    if ((await this.find(newName, options.signal)) !== undefined) throw imageExists(newName);
    const id = randomId();
    const head = await headOfLocalClone(this.parts.heads, newName, id, record, origin);
    if (sizeBytes > record.sizeBytes) {
      await head.truncate(sizeBytes, options.signal);
      await head.fsync();
    }
    // Another one of this name was made since the question.
    if (this.images.has(newName)) {
      await head.discard();
      throw imageExists(newName);
    }
    this.images.set(newName, new LocalImage(this.parts, newName, id, head));
    return { image: newName, number: null, source: { image: origin, number: record.number } };
  }

  private remember(name: string, id: RandomId): LocalImage {
    const known = this.images.get(name);
    if (known?.id === id) return known;
    if (known?.ownHead !== undefined) this.own.set(known.id, known);
    const image = this.own.get(id) ?? new LocalImage(this.parts, name, id, undefined);
    this.images.set(name, image);
    return image;
  }

  private assertWritable(): void {
    if (this.options.readOnly) throw new LazydiskError('READ_ONLY', 'This is a read-only mount.');
  }
}

/** Whether an image's name means the one that this host has, whatever the store says of that name. */
function isHeld(head: LocalHead): boolean {
  return head.isLocal || head.isDirty() || head.record.lockHeld;
}
