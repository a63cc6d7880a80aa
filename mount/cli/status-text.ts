/**
 * The status of a mount, or of one of its images, for people: what it is, how it does, what is only here, what travelled. A pure function
 * of the documents of mount/tree/status-schema.ts, which `--json` shows whole.
 */
import type { ImageStatus } from '../../lib/image/api.js';
import type { WriterLock } from '../../lib/format/writer-lock.js';
import type { RunningCommand } from '../tree/outcomes.js';
import type { ImageStatusDocument, MountStatus } from '../tree/status-schema.js';
import { counted, factLines, formatDuration, formatTime, table, type Fact } from './output.js';
import { formatSize } from './sizes.js';

/** The facts of the mount, then its images, a line each. */
export function mountText(mount: MountStatus): string {
  const { images, unknownImages, lastStoreError } = mount;
  const facts: Fact[] = [
    ['mount', `${mount.repository} on ${mount.mountpoint}${mount.readOnly ? ', read-only' : ''}`],
    ['health', healthText(mount)],
    [
      'daemon',
      `pid ${String(mount.daemonPid)} since ${formatTime(mount.startedMs)}, ${counted(mount.workers, 'worker')}, driver ${mount.driver}`,
    ],
    ['state', mount.stateDirectory],
    ['not committed', notCommitted(mount)],
    ['cache', `${formatSize(mount.localBytes)}${limitText(mount)}`],
    ['fetched', fetchedText(mount)],
    ['reads', readsText(mount)],
    ['store', `${counted(mount.storeRequests, 'request')}, ${String(mount.storeErrors)} failed`],
    ...(lastStoreError === null
      ? []
      : [['last error', `${formatTime(lastStoreError.timeMs)}: ${lastStoreError.message}`] as const]),
    ...(mount.damagedChunks === 0
      ? []
      : [['damaged', `${counted(mount.damagedChunks, 'chunk')}, see daemon.log`] as const]),
    ...runningFacts(mount.running),
    ...(unknownImages.length === 0 ? [] : [['not told in time', unknownImages.join(', ')] as const]),
    ...(mount.imagesListed ? [] : [['images', 'could not be listed in time'] as const]),
  ];
  const listed = images.length === 0 ? [] : ['', table([HEADING, ...images.map(imageRow)])];
  return [factLines(facts), ...listed].join('\n');
}

/** All of one image. */
export function imageText(status: ImageStatusDocument): string {
  const { image, baseNumber, localCloneOf, profile, hydrating } = status;
  const missing = status.missingBytes === 0 ? 'all of it' : `${formatSize(status.missingBytes)} not yet`;
  return factLines([
    ['image', `${image}, ${formatSize(status.sizeBytes)}`],
    ['health', status.failure ?? status.health],
    ['stands on', baseText(image, baseNumber, localCloneOf)],
    ['open', status.openCount === 0 ? 'no' : counted(status.openCount, 'time')],
    ['not committed', `${notCommitted(status)}${status.committing ? '; a commit is running' : ''}`],
    ['layers', String(status.layers)],
    ['here', `${formatSize(status.localBytes)}, ${missing}${status.needsStore ? '' : '; needs the store no more'}`],
    ['fill', FILL_TEXT[status.fill]],
    ...(hydrating === null
      ? []
      : [['hydrating', `${formatSize(hydrating.arrivedBytes)} of ${formatSize(hydrating.totalBytes)}`] as const]),
    ...(profile === null ? [] : [['boot profile', profileText(profile)] as const]),
    ['lock', status.lock === null ? 'nobody' : `${holder(status)} since ${formatTime(status.lock.timeMs)}`],
    ['image id', status.imageId],
    ...runningFacts(status.running),
  ]);
}

const HEADING = ['IMAGE', 'HEALTH', 'SIZE', 'BASE', 'DIRTY', 'LOCAL', 'OPEN', 'LOCK', 'NOTE'];

function imageRow(one: ImageStatus): string[] {
  return [
    one.image,
    one.health,
    formatSize(one.sizeBytes),
    one.baseNumber === null ? '-' : `@${String(one.baseNumber)}`,
    formatSize(one.dirtyBytes),
    formatSize(one.localBytes),
    String(one.openCount),
    one.lock === null ? '-' : one.lockIsOurs ? 'ours' : hostOf(one.lock),
    one.failure ?? (one.committing ? 'a commit is running' : ''),
  ];
}

function healthText({ health, lastStoreAnswerMs }: MountStatus): string {
  if (health !== 'offline') return health;
  return `offline: the store answered last ${lastStoreAnswerMs === null ? 'before this daemon began' : `at ${formatTime(lastStoreAnswerMs)}`}`;
}

function notCommitted({
  dirtyBytes,
  layerAllocatedBytes,
  oldestUncommittedMs,
}: Pick<ImageStatus, 'dirtyBytes' | 'layerAllocatedBytes' | 'oldestUncommittedMs'>): string {
  const since = oldestUncommittedMs === null ? '' : `, the oldest since ${formatTime(oldestUncommittedMs)}`;
  const taken = layerAllocatedBytes === 0 ? '' : `, ${formatSize(layerAllocatedBytes)} of disk`;
  return dirtyBytes === 0 && layerAllocatedBytes === 0 ? 'nothing' : `${formatSize(dirtyBytes)}${taken}${since}`;
}

function limitText({ quotaBytes, evictedChunks }: MountStatus): string {
  const limit = quotaBytes === null ? '' : ` of at most ${formatSize(quotaBytes)}`;
  return `${limit} of chunks${evictedChunks === 0 ? '' : `, ${String(evictedChunks)} gave way`}`;
}

function fetchedText({
  fetchedBytes,
  fetchedChunks,
  fetchRequests,
  fetchedBytesByPriority,
  hedges,
  hedgesWon,
}: MountStatus): string {
  const shares = Object.entries(fetchedBytesByPriority).filter(([, bytes]) => bytes > 0);
  const by = shares.map(([priority, bytes]) => `${priority} ${formatSize(bytes)}`).join(', ');
  const raced = hedges === 0 ? '' : `; ${String(hedgesWon)} of ${counted(hedges, 'second request')} came first`;
  const sum = `${formatSize(fetchedBytes)}: ${counted(fetchedChunks, 'chunk')} in ${counted(fetchRequests, 'request')}`;
  return `${sum}${by === '' ? '' : ` (${by})`}${raced}`;
}

function readsText({ hits, misses, waitingReads, longestWaitingReadMs, forwardedRequests }: MountStatus): string {
  const longest = longestWaitingReadMs === 0 ? '' : `, the longest for ${formatDuration(longestWaitingReadMs)}`;
  return (
    `${String(hits)} answered here at once, ${counted(misses, 'chunk')} missed, ` +
    `${String(forwardedRequests)} passed to the main thread, ${String(waitingReads)} waiting now${longest}`
  );
}

function runningFacts(running: readonly RunningCommand[]): Fact[] {
  return running.map(({ command, startedAt, id }) => [
    'running',
    `${command} since ${formatTime(Date.parse(startedAt))} (id ${id})`,
  ]);
}

function baseText(image: string, number: number | null, clone: ImageStatus['localCloneOf']): string {
  if (clone !== null) return `${clone.image}@${String(clone.number)}, on this host only until the first commit`;
  return number === null ? 'no snapshot yet' : `${image}@${String(number)}`;
}

const FILL_TEXT: Readonly<Record<ImageStatus['fill'], string>> = {
  off: 'not under way',
  running: 'under way',
  complete: 'complete',
  'no-room': 'the cache has no room for it',
  failed: 'failed, see daemon.log',
};

function profileText({ from, prefetchedBytes, unusedBytes, recording }: NonNullable<ImageStatus['profile']>): string {
  const replayed =
    from === null
      ? 'there was none'
      : `that of ${from} brought ${formatSize(prefetchedBytes)}, ${formatSize(unusedBytes)} of it not read`;
  return recording ? `${replayed}; this boot is being recorded` : replayed;
}

function holder({ lock, lockIsOurs }: ImageStatus): string {
  return lockIsOurs ? 'ours' : `held by ${lock === null ? 'nobody' : hostOf(lock)}`;
}

function hostOf({ host, pid }: WriterLock): string {
  return `${host} (pid ${String(pid)})`;
}
