/**
 * Makes the tree of a mount: the file system for the driver, the commands and the status for the control API.
 *
 * The one place of this room that constructs components. It owns no resource: the catalogue, the mirror and the database
 * belong to the caller, who closes them after the driver has ended.
 */
import type { Catalogue } from '../../lib/image/api.js';
import type { FlatStore } from '../../lib/image/flat-files.js';
import type { MirrorStatistics } from '../../lib/mirror/api.js';
import type { Log } from '../../lib/util/log.js';
import type { DriverStatistics } from '../fuse/driver.js';
import type { FileSystem } from '../fuse/file-system.js';
import { AttributeBuilder, type OwnerSettings } from './attributes.js';
import { Commands } from './commands.js';
import { TreeFileSystem } from './file-system.js';
import { FlatSnapshots } from './flat-snapshots.js';
import { Handles } from './handles.js';
import { HeadTimes } from './head-times.js';
import { NodeIds, type NodeDatabase } from './node-ids.js';
import { OpenDisks } from './open-disks.js';
import { Outcomes, type CommandOutcome, type OutcomeDatabase } from './outcomes.js';
import { Places } from './places.js';
import { ReadWatch } from './read-watch.js';
import type { ImageStatusDocument, MountGlance, MountIdentity, MountStatus, StoreStatistics } from './status-schema.js';
import { imageStatus, mountGlance, mountStatus } from './status.js';

/** Settings of a tree: values only. */
export interface TreeOptions extends OwnerSettings {
  /** What `status` says of the mount; `readOnly` and `stateDirectory` are taken from here too. */
  readonly identity: MountIdentity;
  /** Reads that wait so long for what is not here are logged; 0: none is. */
  readonly slowReadMs: number;
}

/** Whoever counts what goes on. Its methods return at once and do not throw. */
export interface TreeObserver {
  /** A read that no worker could answer has ended. */
  read(durationMs: number): void;
  command(outcome: CommandOutcome): void;
}

export interface TreeParts {
  readonly catalogue: Catalogue;
  /** The state's database; the tree keeps its keys under `tree/`. A LocalDatabase is one. */
  readonly database: NodeDatabase & OutcomeDatabase;
  readonly mirror: { statistics(): MirrorStatistics };
  readonly flats: FlatStore;
  readonly driver: { statistics(): DriverStatistics };
  readonly store: { statistics(): StoreStatistics };
  readonly log: Log;
  readonly options: TreeOptions;
  readonly observer?: TreeObserver | undefined;
  /** The clock, milliseconds since 1970. */
  readonly now?: () => number;
}

export interface Tree {
  readonly fileSystem: FileSystem;
  readonly commands: Commands;
  readonly flats: FlatSnapshots;
  /** For how long the read waits that has waited longest, milliseconds; 0: none does. */
  longestReadMs(): number;
  status(): Promise<MountStatus>;
  glance(): Promise<MountGlance>;
  /** NOT_FOUND. */
  imageStatus(name: string): Promise<ImageStatusDocument>;
}

/** DAMAGED or IO when the state's database can't be read. */
export async function createTree(parts: TreeParts): Promise<Tree> {
  const { catalogue, database, log, options, observer, now = Date.now } = parts;
  const { identity } = options;
  const startedMs = now();
  const outcomes = await Outcomes.open(database, log);
  const commands = new Commands({
    catalogue,
    outcomes,
    readOnly: identity.readOnly,
    log,
    now,
    onFinished: (outcome) => observer?.command(outcome),
  });
  const reads = new ReadWatch({ slowMs: options.slowReadMs, log, onRead: (durationMs) => observer?.read(durationMs) });
  const sources = {
    catalogue,
    longestReadMs: () => reads.longestWaitMs(),
    mirror: () => parts.mirror.statistics(),
    driver: () => parts.driver.statistics(),
    store: () => parts.store.statistics(),
    running: () => commands.running(),
    identity,
    startedMs,
  };
  const status = (): Promise<MountStatus> => mountStatus(sources);
  const statusOf = (name: string): Promise<ImageStatusDocument> => imageStatus(catalogue, name, commands.running(name));
  const fileSystem = new TreeFileSystem(
    {
      catalogue,
      ids: await NodeIds.open(database),
      places: new Places(catalogue),
      attributes: new AttributeBuilder(options),
      owners: options,
      readOnly: identity.readOnly,
      disks: new OpenDisks(log),
      reads,
      flats: parts.flats,
      headTimes: new HeadTimes(now),
      commands,
      sessions: new Handles(startedMs),
      statusPages: new Handles(startedMs),
      mountStatus: status,
      imageStatus: statusOf,
      startedMs,
      log,
    },
    identity.stateDirectory,
  );
  return {
    fileSystem,
    commands,
    flats: new FlatSnapshots(catalogue, parts.flats),
    longestReadMs: sources.longestReadMs,
    status,
    glance: () => mountGlance(sources),
    imageStatus: statusOf,
  };
}
