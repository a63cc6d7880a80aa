/**
 * Stacks the layers of a mount: the one place that constructs them (and stack-views.ts what looks at them from outside). Everything
 * else gets what it needs as arguments.
 *
 * From the ground up: store; repository (by its cached marker while the store is away); state directory and its lock; log;
 * driver, whose fence and plane feed the layers below the file system need; mirror; catalogue; tree. Then
 * mount/service/daemon.ts mounts and serves. What was opened before a step that fails is closed again, in reverse order.
 */
import { join } from 'node:path';
import { FlatFiles } from '../../lib/image/flat-files.js';
import { openCatalogue } from '../../lib/image/catalogue.js';
import type { EarlyNames } from '../../lib/image/listings.js';
import { LocalPlaces } from '../../lib/mirror/known-places.js';
import type { LocalDatabase } from '../../lib/mirror/local-database.js';
import { LocalNodes } from '../../lib/mirror/local-nodes.js';
import { openMirror } from '../../lib/mirror/mirror.js';
import { openStateDatabase } from '../../lib/mirror/state-database.js';
import { chunkSource } from '../../lib/repository/chunk-source.js';
import { openRepository } from '../../lib/repository/repository.js';
import type { StoredRepository } from '../../lib/repository/stored-repository.js';
import type { Driver } from '../fuse/driver.js';
import { clearStaleMount } from '../fuse/mount-table.js';
import { TroubleLog } from '../fuse/trouble-log.js';
import { currentBootId } from '../service/boot-id.js';
import { EarlyLog } from '../service/early-log.js';
import { closeAll, openMount, type Closer } from '../service/daemon.js';
import type { OpenedMount, Supervised } from '../service/daemon-process.js';
import { DaemonSuccession } from '../service/daemon-succession.js';
import { makePrivateFolder } from '../service/files.js';
import { openLogFile, type LogFile } from '../service/log-file.js';
import { protectProcess } from '../service/protection.js';
import type { Registry } from '../service/registry.js';
import type { MountSettings } from '../service/settings.js';
import { LOG_NAME, refreshStateDirectory, type StateDirectory } from '../service/state-directory.js';
import { lockState } from '../service/state-lock.js';
import { createTree } from '../tree/tree.js';
import { controlCommands } from './control-commands.js';
import { createDriver } from './driver.js';
import { cacheDirectoryOf, chooseState, type ChosenState } from './mount-state.js';
import { Views } from './stack-views.js';
import { environmentWith } from './store-environment.js';
import { stackStore, type StackedStore } from './store-stack.js';

/** How long the end waits for the store to take back locks: it must end also when the store is away. */
const CLOSE_TIMEOUT_MS = 10_000;

/** An open asks up to four things of the store at once; each would wait a round trip for a connection of its own. */
const SPARE_CONNECTIONS = 3;

/** In an outage every request that waits tries again and again: a line for each would push all others out of the log. */
const RETRY_LINES_MS = 10_000;

export interface MountEnvironment {
  readonly environment: NodeJS.ProcessEnv;
  /** Receives the lines of the log too. */
  readonly echo?: (line: string) => void;
  /** Absent in the foreground. */
  readonly supervised?: Supervised;
}

/** Stacks and mounts, or takes over; the result is served by mount/service/daemon-process.ts. */
export async function openMountFromSettings(
  settings: MountSettings,
  registry: Registry,
  { environment: given, echo, supervised }: MountEnvironment,
): Promise<OpenedMount> {
  const environment = environmentWith(settings, given);
  process.umask(0o077); // whatever the layers make in the state directory is ours alone
  const opened: Closer[] = [];
  const keep = <T extends { close(): Promise<void> }>(name: string, part: T): T => {
    opened.unshift({ name, close: () => part.close() });
    return part;
  };
  let log: LogFile | undefined;
  const early = new EarlyLog();
  const retries = new TroubleLog(early, 'warn', RETRY_LINES_MS);
  try {
    const succession = DaemonSuccession.of(supervised);
    const driver = createDriver(settings, environment, early, succession);
    keep('driver', { close: async () => driver.discard() });
    // Loads its first thread while the store answers.
    driver.warmUp();
    const views = await Views.of(settings);
    const store = await stackStore(
      { url: settings.repository, endpoint: settings.endpoint ?? undefined },
      {
        environment,
        maxUploadBytesPerSecond: settings.maxUploadBytesPerSecond,
        spareConnections: SPARE_CONNECTIONS,
        // The log lies in the state directory, which is known only when the store has said which repository it is.
        onRetry: (facts) => retries.report('The store did not answer; trying again.', facts),
        onCall: views.onStoreCall,
      },
    );
    keep('store', store);
    let ahead: EarlyNames | undefined;
    const chosen = await chooseState(settings, store, environment, (repository) => {
      ahead = keep('first questions', lookAhead(repository, settings));
    });
    const database = keep(
      'database',
      await lockState(chosen.state.path, registry, (folder) => openStateDatabase(folder, early)),
    );
    log = openLogFile(join(chosen.state.path, LOG_NAME), {
      environment,
      echo,
      format: settings.logFormat,
      level: settings.logLevel,
    });
    early.continueIn(log);
    succession?.opened(database, log.path);
    protectProcess(log);
    const parts = {
      settings,
      registry,
      environment,
      supervised,
      succession,
      driver,
      store,
      chosen,
      ahead,
      database,
      views,
    };
    const { live, survivable, dashboard } = await mountLayers({ ...parts, log, opened, keep });
    return { live, degraded: chosen.repository === null, survivable, dashboard, log };
  } catch (error) {
    log?.error('Mounting failed.', { error });
    // mountLayers leaves what it opened to openMount once that has begun: closing twice does nothing.
    if (log !== undefined) await closeAll(opened, log);
    else for (const part of opened) await part.close().catch(() => undefined);
    log?.close();
    throw error;
  }
}

interface Parts {
  readonly settings: MountSettings;
  readonly registry: Registry;
  readonly environment: NodeJS.ProcessEnv;
  readonly supervised: Supervised | undefined;
  readonly succession: DaemonSuccession | undefined;
  readonly driver: Driver;
  readonly store: StackedStore;
  readonly chosen: ChosenState;
  readonly ahead: EarlyNames | undefined;
  readonly database: LocalDatabase;
  readonly views: Views;
  readonly log: LogFile;
  /** What is open, the last first. */
  readonly opened: Closer[];
  readonly keep: <T extends { close(): Promise<void> }>(name: string, part: T) => T;
}

async function mountLayers(parts: Parts): Promise<Pick<OpenedMount, 'live' | 'survivable' | 'dashboard'>> {
  const { settings, registry, environment, supervised, succession, driver, store, chosen, ahead, database } = parts;
  const { views, log, opened, keep } = parts;
  const state = await refreshStateDirectory(chosen.state, chosen.identity);
  const repository =
    chosen.repository ?? (await openRepository(store.withTimeout(settings.timeoutMs), { marker: chosen.marker }));
  if (supervised !== undefined && supervised.connection !== null) {
    const { predecessor, resent } = supervised;
    log.warn('Taking over from a daemon that is gone.', { reason: predecessor, resent });
  } else if ((await clearStaleMount(settings.mountpoint)) > 0) {
    // The lock is ours, so whoever served it is gone.
    log.warn('The mount of a daemon that is gone was cleared.', { mountpoint: settings.mountpoint });
  }
  const cacheDirectory = await cacheDirectoryOf(settings, state);
  await makePrivateFolder(cacheDirectory);
  const mirror = keep(
    'mirror',
    await openMirror({
      directory: cacheDirectory,
      quotaBytes: settings.cacheSizeBytes,
      maxFillBytesPerSecond: settings.maxFillBytesPerSecond,
      bootId: await currentBootId(cacheDirectory, environment),
      source: chunkSource(repository),
      fence: driver.fence,
      log,
    }),
  );
  const catalogue = await openCatalogue({
    repository,
    mirror,
    database,
    stateDirectory: state.path,
    stateId: state.record.stateId,
    bootId: await currentBootId(state.path, environment),
    trees: repository.trees(new LocalNodes(database, log)),
    known: new LocalPlaces(database, log),
    fence: driver.fence,
    planes: driver.planes,
    readOnly: settings.readOnly,
    fill: settings.fill,
    profile: settings.profile,
    early: ahead,
    log,
  });
  store.counted.onUnanswered = () => catalogue.doubtStore();
  if (chosen.repository === null) catalogue.doubtStore();
  else catalogue.lookAhead().catch(() => undefined);
  const flats = keep('flat files', await FlatFiles.open(join(cacheDirectory, 'flat')));
  keep('catalogue', { close: () => catalogue.close(CLOSE_TIMEOUT_MS) });
  const takesOver = supervised !== undefined && supervised.connection !== null;
  const tree = await createTree({
    catalogue,
    database,
    mirror,
    flats,
    driver,
    store: store.counted,
    log,
    observer: views.observer,
    options: {
      uid: settings.uid,
      gid: settings.gid,
      umask: settings.umask,
      slowReadMs: settings.slowReadMs,
      identity: identityOf(settings, state, driver.name),
    },
  });
  const commands = controlCommands(tree);
  const stateDirectory = state.path;
  const seen = { settings, catalogue, mirror, driver, store: store.counted, tree, commands, takesOver };
  const dashboard = await views.serve({ ...seen, stateDirectory, cacheDirectory, log, keep });
  const closers = opened.splice(0); // from here on they are openMount's
  const live = await openMount({
    stack: {
      driver,
      fileSystem: tree.fileSystem,
      commands,
      running: () => tree.commands.running(),
      closers,
    },
    mount: {
      mountpoint: settings.mountpoint,
      source: settings.repository,
      allowOther: settings.allowOther,
      readOnly: settings.readOnly,
      noExec: settings.noExec,
      selinuxContext: settings.selinuxContext,
    },
    stateDirectory,
    repository: { url: settings.repository, endpoint: settings.endpoint },
    supervisor: succession ?? null,
    registry,
    log,
  });
  return { live, survivable: succession?.isSecured === true, dashboard };
}

function identityOf(settings: MountSettings, state: StateDirectory, driver: string) {
  return {
    repositoryId: state.record.repositoryId,
    repository: settings.repository,
    mountpoint: settings.mountpoint,
    stateDirectory: state.path,
    driver,
    daemonPid: process.pid,
    readOnly: settings.readOnly,
  };
}

/**
 * What the first open will ask of the store, asked while the state directory, the mirror and the mount are being made: whether
 * puts are exclusive, and what there is. Nobody waits for it, and what fails is asked again when it is needed. The catalogue
 * goes on from there (`Catalogue.lookAhead`). A store that is away is left alone; `close` gives up what has not been answered, for
 * a mount that is refused meanwhile.
 */
function lookAhead(repository: StoredRepository, { readOnly }: MountSettings): EarlyNames & { close(): Promise<void> } {
  const closing = new AbortController();
  const askedMs = Date.now();
  const summaries = repository.imageSummaries(closing.signal);
  const asked: Promise<unknown>[] = [summaries];
  if (!readOnly) asked.push(repository.assertExclusivePuts(closing.signal));
  for (const question of asked) question.catch(() => undefined);
  const close = (): Promise<void> => {
    closing.abort();
    return Promise.resolve();
  };
  return { summaries, askedMs, close };
}
