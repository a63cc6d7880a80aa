/**
 * Which repository, and which state directory, a mount is for.
 *
 * The store is asked for the repository's marker. When it does not answer, a state directory that knows this URL stands in
 * with the marker that it kept: the mount starts degraded. A store that answers "no" (rights, no bucket, no repository) is
 * final.
 */
import { join } from 'node:path';
import type { RepositoryMarker } from '../../lib/format/marker.js';
import { openRepository } from '../../lib/repository/repository.js';
import type { StoredRepository } from '../../lib/repository/stored-repository.js';
import { hasCode } from '../../lib/util/errors.js';
import type { MountSettings } from '../service/settings.js';
import {
  checkPlacement,
  defaultStateRoot,
  findStateDirectory,
  openStateDirectory,
  readStateDirectory,
  type RepositoryIdentity,
  type StateDirectory,
} from '../service/state-directory.js';
import type { StackedStore } from './store-stack.js';

/** How long a start waits for the store: a user sits before it when nothing is known, a boot of the host when it is. */
const FIRST_START_MS = 10_000;
const KNOWN_START_MS = 5_000;

export interface ChosenState {
  readonly state: StateDirectory;
  readonly identity: RepositoryIdentity;
  readonly marker: RepositoryMarker;
  /** As it has just been opened, on the view of the store that waits as long as guests are to wait. null: the store is away. */
  readonly repository: StoredRepository | null;
}

/** `onRepository` is called as soon as the store has answered, before anything is made on this host. */
export async function chooseState(
  settings: MountSettings,
  store: StackedStore,
  environment: NodeJS.ProcessEnv,
  onRepository: (repository: StoredRepository) => void,
): Promise<ChosenState> {
  const root = defaultStateRoot(process.getuid?.() ?? -1, environment);
  const rules = { mountpoint: settings.mountpoint, force: settings.force };
  if (settings.stateDirectory !== null) await checkPlacement(settings.stateDirectory, rules);
  const known =
    settings.stateDirectory === null
      ? await findStateDirectory(root, settings.repository, settings.endpoint)
      : await readStateDirectory(settings.stateDirectory);
  const { marker, repository } = await findMarker(settings, store, known);
  if (repository !== null) onRepository(repository);
  const identity: RepositoryIdentity = {
    repositoryUrl: settings.repository,
    endpoint: settings.endpoint,
    repositoryId: marker.repositoryId,
    marker,
  };
  // A repository that was made anew at the same URL is another one, with a directory of its own.
  const path = await checkPlacement(settings.stateDirectory ?? join(root, marker.repositoryId), rules);
  return { state: await openStateDirectory(path, identity), identity, marker, repository };
}

async function findMarker(
  settings: MountSettings,
  store: StackedStore,
  known: StateDirectory | undefined,
): Promise<Pick<ChosenState, 'marker' | 'repository'>> {
  const stands = known?.record.repositoryUrl === settings.repository ? known.record.marker : undefined;
  try {
    const view = store.withTimeout(stands === undefined ? FIRST_START_MS : KNOWN_START_MS);
    const repository = (await openRepository(view)).through(store.withTimeout(settings.timeoutMs));
    return { marker: repository.marker, repository };
  } catch (error) {
    if (stands === undefined || !hasCode(error, 'UNREACHABLE')) throw error;
    return { marker: stands, repository: null };
  }
}

/** Folder of the mirror. USAGE: on the mount itself. */
export async function cacheDirectoryOf(settings: MountSettings, state: StateDirectory): Promise<string> {
  const path = settings.cacheDirectory ?? join(state.path, 'mirror');
  return await checkPlacement(path, { mountpoint: settings.mountpoint, force: true, what: 'cache' });
}
