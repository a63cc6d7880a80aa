/** `lazydisk info`: what a repository is, or a snapshot. */
import { repositoryInfo, snapshotInfo, type RepositoryInfo, type SnapshotInfo } from '../../lib/repository/info.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { newestNumber } from './clone.js';
import { numberIn, parseImageReference } from './image-reference.js';
import { counted, factLines, formatTime } from './output.js';
import { formatSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { defineVerb, interruptible, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const infoVerb = defineVerb({
  command: 'info <where> [image]',
  summary: 'Show what a repository is, or all that is known of a snapshot',
  examples: [
    ['info s3://images/prod', 'the repository: id, features, how many images, bytes of all segments'],
    ['info /mnt debian-12', 'the newest snapshot of an image'],
    ['info /mnt vm-01@2 --stored', 'also how many bytes its chunks are in the store'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', describe: 'image (its newest snapshot), image@N or image:TAG' })
      .option('stored', { type: 'boolean', default: false, describe: 'read the whole tree, to add up stored bytes' }),
  run: async ({ stored, ...options }, { output, registry, environment }) => {
    const reference = options.image === undefined ? undefined : parseImageReference(options.image);
    if (reference === undefined && stored) {
      throw new LazydiskError('USAGE', '--stored takes an image; what a whole repository stores is always shown.');
    }
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    await withRepository(address, use, async (repository) => {
      if (reference === undefined) {
        output.result(await repositoryInfo(repository), repositoryLines);
        return;
      }
      const { image } = reference;
      const number = (await numberIn(repository, reference)) ?? (await newestNumber(repository, image));
      const info = await interruptible((signal) => snapshotInfo(repository, { image, number }, { stored, signal }));
      output.result(info, snapshotLines);
    });
  },
});

function repositoryLines(info: RepositoryInfo): string {
  return factLines([
    ['repository', info.location],
    ['id', info.repositoryId],
    ['format', `version ${String(info.formatVersion)}, writers may use: ${info.allows.join(', ') || 'nothing more'}`],
    ['chunks of new images', formatSize(info.defaultChunkSizeBytes)],
    ['images', `${String(info.images)}, being written: ${String(info.locks)}`],
    ['snapshots', `${String(info.snapshots)}, and ${String(info.deletedSnapshots)} deleted ones`],
    ['tags', String(info.tags)],
    ['stored', `${formatSize(info.segmentBytes)} in ${counted(info.segments, 'segment')}`],
  ]);
}

function snapshotLines(info: SnapshotInfo): string {
  const { image, number, parent, stored, lock, profile } = info;
  return factLines([
    ['snapshot', `${image}@${String(number)}, ${placeAmong(info)}`],
    ['tags', info.tags.map((tag) => `${image}:${tag}`).join(', ') || 'none'],
    ['size', `${formatSize(info.sizeBytes)} (${String(info.sizeBytes)} bytes)`],
    ['allocated', `${formatSize(info.allocatedBytes)}, in chunks of ${formatSize(info.chunkSizeBytes)}`],
    ...(stored === null
      ? []
      : [['stored', `${formatSize(stored.bytes)} in ${counted(stored.chunks, 'chunk')}`] as const]),
    ['made from', parent === null ? 'nothing else' : `${parent.image}@${String(parent.number)}`],
    ['time', formatTime(info.timeMs)],
    ['label', info.label || 'none'],
    ['being written', lock === null ? 'no' : `by ${lock.host} (pid ${String(lock.pid)})`],
    [
      'boot profile',
      profile === null ? 'none of its own' : `${formatSize(profile.bytes)}, from ${counted(profile.boots, 'boot')}`,
    ],
    ['image id', info.imageId],
    ['commit id', info.commitId],
    ['needs', info.requires.join(', ') || 'no feature'],
  ]);
}

function placeAmong({ isNewest, snapshots }: SnapshotInfo): string {
  if (snapshots.length === 1) return 'the only one';
  return `${isNewest ? 'the newest' : 'one'} of ${ranges(snapshots)}`;
}

/** `1-3, 5`: ascending numbers, short. */
function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] + 1 === number) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? String(first) : `${String(first)}-${String(last)}`)).join(', ');
}
