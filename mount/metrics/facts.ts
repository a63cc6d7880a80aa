/**
 * What the metrics are made of at a scrape. Everything is read from this process and its disks: a scrape sends no request to the
 * store, however many images that has, and takes what `status` can't without asking.
 */
import { readdir, statfs } from 'node:fs/promises';
import type { Catalogue, Health } from '../../lib/image/api.js';
import type { MirrorStatistics } from '../../lib/mirror/api.js';
import type { DriverStatistics } from '../fuse/driver.js';
import type { StoreStatistics } from '../tree/status-schema.js';
import { heldImages, type HeldImage } from '../tree/held-images.js';

/** Those who know. */
export interface MetricSources {
  readonly version: string;
  readonly repository: string;
  readonly mountpoint: string;
  readonly driver: string;
  /** Of this daemon, milliseconds since 1970. */
  readonly startedMs: number;
  readonly catalogue: Pick<Catalogue, 'health' | 'held'>;
  readonly mirror: () => MirrorStatistics;
  readonly driverStatistics: () => DriverStatistics;
  readonly longestReadMs: () => number;
  readonly store: () => StoreStatistics;
  readonly runningCommands: () => number;
  readonly stateDirectory: string;
  readonly cacheDirectory: string;
}

/** Room on the file system of a directory, bytes; `freeBytes` as for a user without rights. */
export interface SpaceFacts {
  readonly directory: 'state' | 'cache';
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface MetricFacts extends Pick<
  MetricSources,
  'version' | 'repository' | 'mountpoint' | 'driver' | 'startedMs'
> {
  readonly health: Health;
  readonly mirror: MirrorStatistics;
  readonly driverStatistics: DriverStatistics;
  readonly longestReadMs: number;
  readonly lastStoreAnswerMs: number | null;
  readonly runningCommands: number;
  /** Images whose head this host has, and of these the ones that are shown one by one. */
  readonly heldImages: number;
  readonly images: readonly HeldImage[];
  readonly space: readonly SpaceFacts[];
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** How long the main thread was at work since it began. */
  readonly mainThreadBusySeconds: number;
  readonly openFiles: number;
}

/**
 * A series per image must not grow without end: of more images than this, those that are open or have something to lose are
 * shown, in the order of their names.
 */
export const MOST_IMAGES = 256;

export async function gatherFacts(sources: MetricSources): Promise<MetricFacts> {
  const { version, repository, mountpoint, driver, startedMs, catalogue } = sources;
  const all = await heldImages(catalogue);
  const space = await Promise.all([spaceOf('state', sources.stateDirectory), spaceOf('cache', sources.cacheDirectory)]);
  const openFiles = (await readdir('/proc/self/fd')).length;
  const { user, system } = process.cpuUsage();
  return {
    ...{ version, repository, mountpoint, driver, startedMs, openFiles, space },
    health: catalogue.health(),
    mirror: sources.mirror(),
    driverStatistics: sources.driverStatistics(),
    longestReadMs: sources.longestReadMs(),
    lastStoreAnswerMs: sources.store().lastAnswerMs,
    runningCommands: sources.runningCommands(),
    heldImages: all.length,
    images: shownImages(all),
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
    mainThreadBusySeconds: performance.eventLoopUtilization().active / 1000,
  };
}

/** At most MOST_IMAGES, in the given order. */
export function shownImages(all: readonly HeldImage[]): readonly HeldImage[] {
  if (all.length <= MOST_IMAGES) return all;
  const first = new Set([...all].sort((one, other) => rank(other) - rank(one)).slice(0, MOST_IMAGES));
  return all.filter((image) => first.has(image));
}

function rank({ failure, openCount, dirtyBytes }: HeldImage): number {
  return (failure === null ? 0 : 4) + (openCount > 0 ? 2 : 0) + (dirtyBytes > 0 ? 1 : 0);
}

async function spaceOf(directory: SpaceFacts['directory'], path: string): Promise<SpaceFacts> {
  const { bsize, bavail, blocks } = await statfs(path);
  return { directory, freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}
