/**
 * One picture of a mount for people who watch it (`status --watch`): how it does, what moves, and a line for each image whose disk is open
 * or has local writes. A pure function of what the mount said now and before, and of the room on the terminal.
 */
import type { HeldImage } from '../tree/held-images.js';
import type { MountGlance } from '../tree/status-schema.js';
import { formatDuration, table } from './output.js';
import { printableLine } from './printable.js';
import { formatSize } from './sizes.js';

/** What the mount said, and when. */
export interface Moment {
  readonly glance: MountGlance;
  readonly atMs: number;
}

export interface Room {
  readonly columns: number;
  readonly rows: number;
}

const BAR_CELLS = 10;
const HEADING = ['IMAGE', 'SIZE', 'HERE', '', 'DIRTY', 'SINCE', 'OPEN', 'NOTE'];

/** Lines, none longer than the terminal is wide, no more than it is high. */
export function statusFrame(now: Moment, before: Moment | undefined, { columns, rows }: Room): string[] {
  const { glance } = now;
  const lines = [...summary(now, before), ...running(now), ''];
  if (glance.images.length === 0) {
    lines.push('No disk is open here or has local writes.');
  } else {
    const places = Math.max(1, rows - lines.length - 1);
    lines.push(...images(glance.images, places, now.atMs));
  }
  return lines.slice(0, rows).map((line) => line.slice(0, columns));
}

function summary({ glance, atMs }: Moment, before: Moment | undefined): string[] {
  const { mountpoint, repository, health, startedMs, lastStoreError, lastStoreAnswerMs } = glance;
  const silence =
    health === 'offline' && lastStoreAnswerMs !== null
      ? ` (no answer for ${formatDuration(atMs - lastStoreAnswerMs)})`
      : '';
  const perSecond = (of: (status: MountGlance) => number): number | undefined => {
    // Another daemon has begun to count anew.
    if (before === undefined || before.glance.startedMs !== startedMs || atMs <= before.atMs) return undefined;
    return ((of(glance) - of(before.glance)) * 1000) / (atMs - before.atMs);
  };
  const limit = glance.quotaBytes === null ? '' : ` of ${formatSize(glance.quotaBytes)}`;
  const facts = [
    [
      'reads',
      `${rate(perSecond((status) => status.hits))} from here`,
      `${rate(perSecond((status) => status.misses))} chunks fetched`,
      `${String(glance.waitingReads)} wait${glance.longestWaitingReadMs === 0 ? '' : `, up to ${formatDuration(glance.longestWaitingReadMs)}`}`,
    ],
    [
      'store',
      `${rate(perSecond((status) => status.storeRequests))} requests`,
      `${speed(perSecond((status) => status.fetchedBytes))} fetched`,
      `${String(glance.storeErrors)} failed so far`,
    ],
    [
      'local',
      `${formatSize(glance.localBytes)}${limit} of chunks`,
      `${formatSize(glance.dirtyBytes)} not committed`,
      `${formatSize(glance.layerAllocatedBytes)} of disk for that`,
    ],
  ];
  const lines = [
    `${repository} on ${mountpoint}: ${health}${silence}, up for ${formatDuration(atMs - startedMs)}`,
    '',
    ...table(facts).split('\n'),
  ];
  if (lastStoreError !== null) {
    lines.push(
      `last error, ${formatDuration(atMs - lastStoreError.timeMs)} ago: ${printableLine(lastStoreError.message)}`,
    );
  }
  return lines;
}

function running({ glance, atMs }: Moment): string[] {
  return glance.running.map(
    ({ command, startedAt }) => `running ${formatDuration(atMs - Date.parse(startedAt))}: ${printableLine(command)}`,
  );
}

/** The busiest first; of those that find no place, how many there are. */
function images(all: readonly HeldImage[], places: number, nowMs: number): string[] {
  const sorted = [...all].sort((one, other) => rank(other) - rank(one));
  const shown = sorted.length <= places ? sorted : sorted.slice(0, Math.max(0, places - 1));
  const lines = table([HEADING, ...shown.map((image) => imageRow(image, nowMs))]).split('\n');
  const left = sorted.length - shown.length;
  return left === 0 ? lines : [...lines, `and ${String(left)} more`];
}

function imageRow(image: HeldImage, nowMs: number): string[] {
  const { localBytes, missingBytes, oldestUncommittedMs } = image;
  const whole = localBytes + missingBytes;
  const share = whole === 0 ? 1 : localBytes / whole;
  // Down: 100 % is said when it is all.
  const filled = Math.floor(share * BAR_CELLS);
  return [
    image.image,
    formatSize(image.sizeBytes),
    `${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)}`,
    `${String(Math.floor(share * 100))} %`,
    image.dirtyBytes === 0 ? '-' : formatSize(image.dirtyBytes),
    oldestUncommittedMs === null ? '-' : formatDuration(nowMs - oldestUncommittedMs),
    image.openCount === 0 ? '-' : String(image.openCount),
    image.failure === null ? (image.committing ? 'is being committed' : '') : printableLine(image.failure),
  ];
}

function rank({ failure, committing, openCount, dirtyBytes }: HeldImage): number {
  return (failure === null ? 0 : 8) + (committing ? 4 : 0) + (openCount > 0 ? 2 : 0) + (dirtyBytes > 0 ? 1 : 0);
}

function rate(perSecond: number | undefined): string {
  if (perSecond === undefined) return '-/s';
  return `${perSecond < 10 && perSecond > 0 ? perSecond.toFixed(1) : perSecond.toFixed(0)}/s`;
}

function speed(perSecond: number | undefined): string {
  return perSecond === undefined ? '-/s' : `${formatSize(Math.round(perSecond))}/s`;
}
