/**
 * The dashboard of a mount, at `--dashboard ADDR:PORT`: stacked here, and nothing of it runs in a mount that was not asked for it.
 *
 * A daemon that takes over goes on at the same port with the same token. When it can't have the port, the mount goes on without
 * the page: guests matter more.
 */
import type { Catalogue } from '../../lib/image/api.js';
import type { ImageViews } from '../../lib/image/views.js';
import type { MirrorStatistics } from '../../lib/mirror/api.js';
import { messageOf } from '../../lib/util/errors.js';
import type { Log } from '../../lib/util/log.js';
import type { DriverStatistics } from '../fuse/driver.js';
import type { ListenAddress } from '../service/listen-address.js';
import { HttpListener } from '../service/listening.js';
import type { OutcomeHistory } from '../tree/outcomes.js';
import type { ActionCommands } from './actions.js';
import { forgetAddress, keepAddress, newToken, pageUrl, readAddress } from './address-file.js';
import { dashboardHandler } from './handler.js';
import { History } from './history.js';
import { ImageNames } from './image-names.js';
import { PAGE_FOLDER } from './page-files.js';
import type { StreamSources } from './page-stream.js';
import { Pictures } from './pictures.js';
import type { MountMessage } from './protocol.js';
import type { ReadTimes } from './read-times.js';

export interface DashboardParts {
  readonly address: ListenAddress;
  readonly stateDirectory: string;
  /** Whether a daemon before this one served the mount. */
  readonly takesOver: boolean;
  readonly identity: Pick<MountMessage, 'repository' | 'mountpoint' | 'readOnly'>;
  readonly catalogue: Pick<Catalogue, 'names' | 'health'> & ImageViews;
  readonly mirror: { statistics(): MirrorStatistics };
  readonly driver: { statistics(): DriverStatistics };
  readonly activity: () => OutcomeHistory;
  readonly commands: ActionCommands;
  /** Told of every read that had to wait. */
  readonly readTimes: ReadTimes;
  readonly log: Log;
  readonly pageFolder?: string;
}

export interface Dashboard {
  /** With the token; null: it could not be served. */
  readonly url: string | null;
  close(): Promise<void>;
}

const OPTION = '--dashboard';
/** Pages are told once a second: those that are told at the same time are told the same. */
const REMEMBERED_MS = 300;

/** Rejects as HttpListener.listen does, but not where a daemon takes over. */
export async function serveDashboard(parts: DashboardParts): Promise<Dashboard> {
  const { stateDirectory, takesOver, log } = parts;
  const before = takesOver ? await readAddress(stateDirectory) : undefined;
  const token = before?.token ?? newToken();
  const { sources, close } = sourcesOf(parts);
  const handler = dashboardHandler({
    token,
    sources,
    commands: parts.commands,
    pageFolder: parts.pageFolder ?? PAGE_FOLDER,
  });
  try {
    const address = { ...parts.address, port: before?.port ?? parts.address.port };
    const listener = await HttpListener.listen({ address, option: OPTION, handler, log });
    const served = { ...listener.address, token };
    await keepAddress(stateDirectory, served);
    log.info('The dashboard answers.', { url: listener.url });
    return {
      url: pageUrl(served),
      close: async () => {
        close();
        await listener.close();
        await forgetAddress(stateDirectory);
      },
    };
  } catch (error) {
    close();
    if (!takesOver) throw error;
    log.error('The dashboard could not be taken over: the mount goes on without it.', { error: messageOf(error) });
    return { url: null, close: () => Promise.resolve() };
  }
}

function sourcesOf(parts: DashboardParts): { sources: StreamSources; close: () => void } {
  const { catalogue, mirror, driver } = parts;
  // Picked: whatever else the caller's object has is not told.
  const { repository, mountpoint, readOnly } = parts.identity;
  const names = new ImageNames(catalogue);
  const history = new History(
    () => ({
      atMs: Date.now(),
      driver: driver.statistics(),
      fetchedBytes: mirror.statistics().fetchedBytesByPriority,
    }),
    parts.readTimes,
  );
  history.start();
  const mount = remembered((): ReturnType<StreamSources['mount']> => {
    const { localBytes, quotaBytes, waitingFetches } = mirror.statistics();
    const { waitingReads } = driver.statistics();
    return {
      ...{ repository, mountpoint, readOnly },
      health: catalogue.health(),
      ...{ localBytes, quotaBytes, waitingReads, waitingFetches },
      images: catalogue.glances(),
      names: names.known(),
    };
  });
  const activity = noticingEnds(parts.activity, () => names.outdate());
  return {
    sources: { views: catalogue, pictures: new Pictures(), history, mount, activity },
    close: () => history.close(),
  };
}

/** Calls back when a command has ended since the last look. */
function noticingEnds(activity: () => OutcomeHistory, onEnd: () => void): () => OutcomeHistory {
  let newest: string | undefined;
  return () => {
    const now = activity();
    const last = now.outcomes.at(-1)?.id;
    if (last !== newest) onEnd();
    newest = last;
    return now;
  };
}

/** What was worked out just now is good for all pages. */
function remembered<T>(work: () => T): () => T {
  let last: { readonly value: T; readonly atMs: number } | undefined;
  return () => {
    const nowMs = performance.now();
    if (last === undefined || nowMs - last.atMs > REMEMBERED_MS) last = { value: work(), atMs: nowMs };
    return last.value;
  };
}
