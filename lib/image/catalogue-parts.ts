/** What a catalogue is opened with, and the parts that its images share: the one place where they are put together. */
import { join } from 'node:path';

import type { RandomId } from '../format/references.js';
import type { Mirror } from '../mirror/api.js';
import type { LocalDatabase } from '../mirror/local-database.js';
import type { WorkerFence } from '../mirror/worker-fence.js';
import type { KnownPlaces, Repository, TreeReader } from '../repository/api.js';
import { messageOf } from '../util/errors.js';
import type { Log } from '../util/log.js';
import type { FillMode, ProfileMode } from './api.js';
import { Attendances } from './attendance.js';
import { Bases } from './bases.js';
import type { CommitParts, CommitStep } from './commit.js';
import { Listings, type EarlyNames } from './listings.js';
import type { ImageParts } from './local-image.js';
import type { PlaneFeed } from './plane.js';
import { StoreWatch } from './store-watch.js';

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
  /** As `Listings` has it. */
  readonly early?: EarlyNames | undefined;
  readonly log: Log;
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
  /** Called after each named step of a commit has taken effect; for tests. */
  readonly onCommitStep?: (step: CommitStep) => void;
}

/** `closing` fires when the catalogue is being closed. */
export function imageParts(options: CatalogueOptions, closing: AbortSignal): ImageParts {
  const { repository, mirror, fence, trees, known, log, stateId, bootId, readOnly } = options;
  const now = options.now ?? Date.now;
  const listings = new Listings({
    ...{ repository, database: options.database, early: options.early, log, now },
    onAway: () => storeWatch.foundAway(),
  });
  const storeWatch = new StoreWatch({
    ask: () => listings.look(closing),
    isAway: () => listings.isOffline(),
    closing,
  });
  const bases = new Bases({ mirror, trees, fence, known });
  const attendances = new Attendances({
    bases,
    store: repository.store,
    readRecord: (image, number, signal) => listings.record(image, number, signal),
    fill: options.fill ?? 'off',
    profile: options.profile ?? 'off',
    readOnly,
    log,
    now,
  });
  const headsDirectory = join(options.stateDirectory, 'heads');
  const shared = { bases, attendances, mirror, fence, log, repository, stateId, bootId, now };
  const heads = { ...shared, feed: options.planes, headsDirectory };
  return { heads, commits: commitParts(options, now), listings, storeWatch, readOnly, closing };
}

function commitParts(options: CatalogueOptions, now: () => number): CommitParts {
  const { repository, trees, known, mirror, log, stateId } = options;
  return {
    repository,
    trees,
    known,
    keep: (id, bytes) =>
      mirror.insert(id, bytes).catch((error: unknown) => {
        log.warn('a committed chunk could not be kept', { error: messageOf(error) });
      }),
    stateId,
    now,
    onStep: options.onCommitStep ?? ((): void => undefined),
  };
}
