/** A catalogue over a real repository, mirror and database, without a kernel: what image tests run on. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Catalogue, FillMode, Head, ProfileMode } from '../../lib/image/api.js';
import { openCatalogue } from '../../lib/image/catalogue.js';
import type { CommitStep } from '../../lib/image/commit.js';
import { LocalHead } from '../../lib/image/head.js';
import type { EarlyNames } from '../../lib/image/listings.js';
import { LocalImage } from '../../lib/image/local-image.js';
import { noFeed } from '../../lib/image/plane.js';
import type { PlaneFeed } from '../../lib/image/plane.js';
import type { ImageViews } from '../../lib/image/views.js';
import type { Mirror } from '../../lib/mirror/api.js';
import { LocalPlaces } from '../../lib/mirror/known-places.js';
import { LocalDatabase } from '../../lib/mirror/local-database.js';
import { LocalNodes } from '../../lib/mirror/local-nodes.js';
import { openMirror } from '../../lib/mirror/mirror.js';
import { noWorkers } from '../../lib/mirror/worker-fence.js';
import type { WorkerFence } from '../../lib/mirror/worker-fence.js';
import { chunkSource } from '../../lib/repository/chunk-source.js';
import { initRepository } from '../../lib/repository/repository.js';
import type { Repository } from '../../lib/repository/api.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { silentLog } from '../../lib/util/log.js';
import { FaultyStore } from './faulty-store.js';

export const CHUNK = 64 * 1024;

/** One host: a state directory over a store that others may share. */
export class ImageWorld {
  catalogue!: Catalogue & ImageViews;
  mirror!: Mirror;
  private database!: LocalDatabase;
  /** Heads that do something by themselves: those that were opened for writing in this life. */
  private readonly running = new Set<LocalHead>();
  /** Called after each step of a commit; throw in it to fail there. */
  onCommitStep: (step: CommitStep) => void = () => undefined;
  /** Names that were asked for before the next start. */
  early: EarlyNames | undefined;

  private constructor(
    readonly store: FaultyStore,
    readonly repository: Repository,
    private readonly directory: string,
    private readonly stateId: string,
    private readonly quotaBytes: number | null,
    private readonly fence: WorkerFence,
    private readonly planes: PlaneFeed,
    private readonly fill: FillMode,
    private readonly profile: ProfileMode,
    private readonly readOnly: boolean,
    private boot: number,
  ) {}

  static async open(
    directory: string,
    options: {
      store?: FaultyStore;
      stateId?: string;
      quotaBytes?: number | null;
      fence?: WorkerFence;
      planes?: PlaneFeed;
      fill?: FillMode;
      profile?: ProfileMode;
      readOnly?: boolean;
      /** Which boot of the host this is: another one than the last means that what was not synced may be gone. */
      boot?: number;
    } = {},
  ): Promise<ImageWorld> {
    const store = options.store ?? new FaultyStore(new MemoryStore());
    const { repository } = await initRepository(store, { chunkSizeBytes: CHUNK });
    await mkdir(directory, { recursive: true });
    const stateId = options.stateId ?? 'a'.repeat(32);
    const world = new ImageWorld(
      store,
      repository,
      directory,
      stateId,
      options.quotaBytes ?? null,
      options.fence ?? noWorkers,
      options.planes ?? noFeed,
      options.fill ?? 'off',
      options.profile ?? 'off',
      options.readOnly ?? false,
      options.boot ?? 0,
    );
    await world.start();
    return world;
  }

  /** Ends orderly and begins again; with `newBoot` what no FSYNC covered may be gone. */
  async reopen(options: { newBoot?: boolean } = {}): Promise<void> {
    await this.close();
    if (options.newBoot === true) this.boot++;
    await this.start();
  }

  /** Ends as kill -9 does: nothing is flushed by us, the page cache stays. The old objects are left alone. */
  async crash(options: { newBoot?: boolean } = {}): Promise<void> {
    await this.die();
    if (options.newBoot === true) this.boot++;
    await this.start();
  }

  /** Ends like `crash`, and does not begin again. */
  async die(): Promise<void> {
    // A dead process runs no timers, and asks nothing.
    for (const image of this.catalogue.held()) {
      if (image instanceof LocalImage && image.ownHead !== undefined) this.running.add(image.ownHead);
    }
    await Promise.all([...this.running].map((head) => head.stopRounds()));
    this.running.clear();
    await this.mirror.close();
    await this.database.close();
  }

  async close(): Promise<void> {
    await this.catalogue.close(1000);
    await this.mirror.close();
    await this.database.close();
  }

  /** The head of an image, open for writing. */
  async openHead(name: string): Promise<Head> {
    const image = await this.catalogue.find(name);
    const head = await image?.head();
    if (head === undefined) throw new Error(`${name} has no head`);
    await head.openForWriting();
    head.opened();
    if (head instanceof LocalHead) this.running.add(head);
    return head;
  }

  /** Begins again after `die`. */
  async start(): Promise<void> {
    const bootId = `boot-${this.boot}`;
    this.database = await LocalDatabase.open(join(this.directory, 'db'));
    this.mirror = await openMirror({
      directory: join(this.directory, 'mirror'),
      quotaBytes: this.quotaBytes,
      bootId,
      source: chunkSource(this.repository),
      fence: this.fence,
      log: silentLog,
    });
    this.catalogue = await openCatalogue({
      repository: this.repository,
      mirror: this.mirror,
      database: this.database,
      stateDirectory: this.directory,
      stateId: this.stateId,
      bootId,
      trees: this.repository.trees(new LocalNodes(this.database)),
      known: new LocalPlaces(this.database),
      fence: this.fence,
      planes: this.planes,
      readOnly: this.readOnly,
      fill: this.fill,
      profile: this.profile,
      early: this.early,
      log: silentLog,
      onCommitStep: (step) => {
        this.onCommitStep(step);
      },
    });
  }
}

/** Makes an image of `chunks` chunks full of one byte, committed as snapshot 1, and closes it. */
export async function withImage(world: ImageWorld, fill: number, chunks = 4, name = 'disk'): Promise<void> {
  await (await world.catalogue.create(name)).createHead();
  const head = await world.openHead(name);
  await head.write(0, Buffer.alloc(chunks * CHUNK, fill));
  await (await world.catalogue.find(name))!.commit({});
  shut(head);
}

/** Closes a head that was opened for writing. */
export function shut(head: Head): void {
  head.closeForWriting();
  head.closed();
}

/** The code with which a promise was rejected, `undefined` when it was not. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof LazydiskError ? error.code : String(error);
}
