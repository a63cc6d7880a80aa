/**
 * Builds the status objects from those who know: the catalogue, the mirror, the driver, the store's counters.
 *
 * A status always answers, also when the store does not: whatever has not come within the deadline is left out and named.
 */
import type { Catalogue, HeadUsage, ImageStatus } from '../../lib/image/api.js';
import type { MirrorStatistics } from '../../lib/mirror/api.js';
import { LazydiskError } from '../../lib/util/errors.js';
import type { DriverStatistics } from '../fuse/driver.js';
import { heldImages } from './held-images.js';
import { mapLimited } from './map-limited.js';
import type { RunningCommand } from './outcomes.js';
import {
  STATUS_SCHEMA_VERSION,
  type ImageStatusDocument,
  type MountGlance,
  type MountIdentity,
  type MountStatus,
  type StoreStatistics,
} from './status-schema.js';

/** Where a status comes from. */
export interface StatusSources {
  readonly catalogue: Catalogue;
  readonly mirror: () => MirrorStatistics;
  readonly driver: () => DriverStatistics;
  readonly longestReadMs: () => number;
  readonly store: () => StoreStatistics;
  readonly running: () => readonly RunningCommand[];
  readonly identity: MountIdentity;
  readonly startedMs: number;
}

/** How long a status of the whole mount waits for its images, milliseconds. */
export const STATUS_DEADLINE_MS = 5000;

const IMAGES_AT_ONCE = 8;

/** The status of the whole mount. Resolves within about STATUS_DEADLINE_MS. */
export async function mountStatus(sources: StatusSources, deadlineMs = STATUS_DEADLINE_MS): Promise<MountStatus> {
  const { names, images } = await imagesInTime(sources.catalogue, deadlineMs);
  return {
    // What would be lost with this host is known without the store: sums don't lack what did not answer.
    ...facts(sources, await heldImages(sources.catalogue)),
    images: images.filter((image) => image !== undefined),
    unknownImages: names?.filter((_, index) => images[index] === undefined) ?? [],
    imagesListed: names !== undefined,
  };
}

/** What can be told without the store: nothing is asked of it. */
export async function mountGlance(sources: StatusSources): Promise<MountGlance> {
  const images = await heldImages(sources.catalogue);
  return { ...facts(sources, images), images };
}

function facts(sources: StatusSources, images: readonly HeadUsage[]): Omit<MountGlance, 'images'> {
  const mirror = sources.mirror();
  const driver = sources.driver();
  const store = sources.store();
  const running = sources.running();
  return {
    schemaVersion: STATUS_SCHEMA_VERSION,
    ...sources.identity,
    health: sources.catalogue.health(),
    startedMs: sources.startedMs,
    localBytes: mirror.localBytes,
    quotaBytes: mirror.quotaBytes,
    dirtyBytes: sum(images, (image) => image.dirtyBytes),
    layerAllocatedBytes: sum(images, (image) => image.layerAllocatedBytes),
    oldestUncommittedMs: oldest(images),
    fetchedBytes: mirror.fetchedBytes,
    fetchedChunks: mirror.fetchedChunks,
    fetchRequests: mirror.fetchRequests,
    fetchedBytesByPriority: mirror.fetchedBytesByPriority,
    hedges: mirror.hedges,
    hedgesWon: mirror.hedgesWon,
    hits: driver.localReads,
    misses: mirror.fetchedChunks,
    evictedChunks: mirror.evictedChunks,
    damagedChunks: mirror.damagedChunks,
    waitingReads: driver.waitingReads,
    longestWaitingReadMs: Math.round(sources.longestReadMs()),
    waitingFetches: mirror.waitingFetches,
    forwardedRequests: driver.forwarded,
    workers: driver.workers,
    storeRequests: store.requests,
    storeErrors: store.errors,
    lastStoreError: store.lastError,
    lastStoreAnswerMs: store.lastAnswerMs,
    runningCommands: running.length,
    running,
  };
}

/** The status of one image. NOT_FOUND. */
export async function imageStatus(
  catalogue: Catalogue,
  name: string,
  running: readonly RunningCommand[],
): Promise<ImageStatusDocument> {
  const image = await catalogue.find(name);
  if (image === undefined)
    throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`, { facts: { image: name } });
  return { schemaVersion: STATUS_SCHEMA_VERSION, ...(await image.status()), running };
}

interface ImagesInTime {
  /** undefined: not listed in time. */
  readonly names: readonly string[] | undefined;
  /** By the index of its name; undefined: no answer in time. */
  readonly images: readonly (ImageStatus | undefined)[];
}

async function imagesInTime(catalogue: Catalogue, deadlineMs: number): Promise<ImagesInTime> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), deadlineMs);
  const inTime = <T>(work: () => Promise<T>): Promise<T | undefined> => unlessAborted(work, deadline.signal);
  try {
    const names = await inTime(() => catalogue.names(deadline.signal));
    const images = await mapLimited(names ?? [], IMAGES_AT_ONCE, (name) =>
      inTime(async () => (await catalogue.find(name, deadline.signal))?.status()),
    );
    return { names, images };
  } finally {
    clearTimeout(timer);
  }
}

/** The result, or undefined when the work fails or the signal fires first. */
function unlessAborted<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const giveUp = (): void => resolve(undefined);
    signal.addEventListener('abort', giveUp, { once: true });
    work()
      .then(resolve, giveUp)
      .finally(() => signal.removeEventListener('abort', giveUp));
  });
}

function sum(images: readonly HeadUsage[], of: (image: HeadUsage) => number): number {
  return images.reduce((total, image) => total + of(image), 0);
}

function oldest(images: readonly HeadUsage[]): number | null {
  const times = images.map((image) => image.oldestUncommittedMs).filter((time) => time !== null);
  return times.length === 0 ? null : Math.min(...times);
}
