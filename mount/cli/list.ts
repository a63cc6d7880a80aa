/** `lazydisk list`: images, or the snapshots of one. */
import { describeImages, type ImageDescription } from '../../lib/repository/describe.js';
import type { WriterLock } from '../../lib/format/writer-lock.js';
import { parseImageName } from './image-reference.js';
import { formatTime, table } from './output.js';
import { formatSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { defineVerb, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const listVerb = defineVerb({
  command: 'list <where> [image]',
  summary: 'List images, or the snapshots of one image',
  examples: [
    ['list s3://images/prod', 'all images with their newest snapshot'],
    ['list /mnt debian-12', 'the snapshots of one image'],
    ['list /mnt --json', 'everything, for programs'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', describe: 'only this image, with all snapshots' }),
  run: async (options, { output, registry, environment }) => {
    const image = options.image === undefined ? undefined : parseImageName(options.image);
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    const images = await withRepository(address, use, (repository) => describeImages(repository, { image }));
    output.result({ images }, () => {
      const [only] = images;
      if (image !== undefined && only !== undefined) return snapshotTable(only);
      return images.length === 0 ? 'no images' : imageTable(images);
    });
  },
});

function imageTable(images: readonly ImageDescription[]): string {
  const rows = images.map(({ image, snapshots, lock, problem }) => {
    const newest = snapshots.at(-1);
    return [
      image,
      newest === undefined ? '-' : `@${String(newest.number)}`,
      String(snapshots.length),
      size(newest?.sizeBytes),
      size(newest?.allocatedBytes),
      newest?.timeMs === undefined ? '-' : formatTime(newest.timeMs),
      problem ?? newest?.problem ?? newest?.label ?? '',
      lockText(lock),
    ];
  });
  return table([['IMAGE', 'NEWEST', 'SNAPSHOTS', 'SIZE', 'ALLOCATED', 'TIME', 'LABEL', 'LOCK'], ...rows]);
}

function snapshotTable({ image, snapshots, deleted, lock, tags }: ImageDescription): string {
  const tagsOf = (number: number): string => tags.flatMap((tag) => (tag.number === number ? tag.tag : [])).join(' ');
  const astray = tags.filter((tag) => !snapshots.some(({ number }) => number === tag.number));
  const rows = snapshots.map(({ number, sizeBytes, allocatedBytes, timeMs, label, parent, problem }) => [
    `${image}@${String(number)}`,
    size(sizeBytes),
    size(allocatedBytes),
    timeMs === undefined ? '-' : formatTime(timeMs),
    parent === undefined || parent === null ? '-' : `${parent.image}@${String(parent.number)}`,
    tagsOf(number),
    problem ?? label ?? '',
  ]);
  const listing = table([['SNAPSHOT', 'SIZE', 'ALLOCATED', 'TIME', 'PARENT', 'TAGS', 'LABEL'], ...rows]);
  return [
    listing,
    ...(deleted.length === 0 ? [] : [`deleted: ${deleted.map((number) => `@${String(number)}`).join(' ')}`]),
    ...astray.map(
      ({ tag, number, problem }) => `${image}:${tag}: ${problem ?? `leads to @${String(number)}, which was deleted`}`,
    ),
    ...(lock === null ? [] : [`being written: ${lockText(lock)}`]),
  ].join('\n');
}

function lockText(lock: WriterLock | null): string {
  if (lock === null) return '';
  const base = lock.base === null ? '' : ` on @${String(lock.base.number)}`;
  return `${lock.host} (pid ${String(lock.pid)})${base} since ${formatTime(lock.timeMs)}`;
}

function size(bytes: number | undefined): string {
  return bytes === undefined ? '-' : formatSize(bytes);
}
