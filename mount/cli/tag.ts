/** `lazydisk tag`: names snapshots, and moves the names. */
import type { Repository } from '../../lib/repository/api.js';
import { describeImages, type TagDescription } from '../../lib/repository/describe.js';
import { dropTag, moveTag } from '../../lib/repository/tags.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { newestNumber } from './clone.js';
import { numberIn, parseImageReference, type ImageReference } from './image-reference.js';
import { formatTime, table } from './output.js';
import { withRepository } from './store-stack.js';
import { defineVerb, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const tagVerb = defineVerb({
  command: 'tag <where> <image> [tag]',
  summary: 'Name a snapshot, move the name to another one, or list the names of an image',
  examples: [
    ['tag s3://images/prod debian-12@3 stable', 'debian-12:stable is snapshot 3 from now on, wherever it was'],
    ['tag /mnt debian-12 testing', 'the newest snapshot; the mount shows it as debian-12/testing.raw'],
    ['tag /mnt debian-12:testing stable', 'stable goes where testing is'],
    ['tag /mnt debian-12', 'the tags of an image'],
    ['tag /mnt debian-12 testing --delete', 'the name goes, the snapshot stays'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', demandOption: true, describe: 'image (its newest), image@N or image:TAG' })
      .positional('tag', { type: 'string', describe: 'the name, as stable or 2026-01; none: list them' })
      .option('delete', { type: 'boolean', default: false, describe: 'remove the tag; its snapshot stays' }),
  run: async (options, { output, registry, environment }) => {
    const reference = parseImageReference(options.image);
    const { image } = reference;
    const { tag } = options;
    if ((tag === undefined || options.delete) && reference.snapshot.kind !== 'none') {
      const what = tag === undefined ? 'Listing tags takes' : '--delete takes';
      throw new LazydiskError('USAGE', `${what} the name of an image, not ${options.image}.`);
    }
    if (tag === undefined && options.delete) {
      throw new LazydiskError('USAGE', `--delete takes the tag to remove: lazydisk tag WHERE ${image} TAG --delete.`);
    }
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    await withRepository(address, use, async (repository) => {
      if (tag === undefined) {
        const [found] = await describeImages(repository, { image });
        output.result({ image, tags: found?.tags ?? [] }, ({ tags }) => tagTable(image, tags));
      } else if (options.delete) {
        await dropTag(repository.store, image, tag);
        output.result({ image, tag, number: null }, () => `${image}:${tag} is gone; its snapshot stays`);
      } else {
        output.result(await move(repository, reference, tag), ({ number, before }) => {
          const from = before === null || before === number ? '' : `, and no longer @${String(before)}`;
          return `${image}:${tag} is ${image}@${String(number)}${from}`;
        });
      }
    });
  },
});

/** `before`: where the tag was, null when it is new. */
async function move(
  repository: Repository,
  reference: ImageReference,
  tag: string,
): Promise<{ image: string; tag: string; number: number; before: number | null }> {
  const { image } = reference;
  const number = (await numberIn(repository, reference)) ?? (await newestNumber(repository, image));
  const { before } = await moveTag(repository, image, tag, number);
  return { image, tag, number, before: before?.number ?? null };
}

function tagTable(image: string, tags: readonly TagDescription[]): string {
  if (tags.length === 0) return `${image} has no tags`;
  const rows = tags.map(({ tag, number, timeMs, problem }) => [
    `${image}:${tag}`,
    number === undefined ? '-' : `@${String(number)}`,
    timeMs === undefined ? '-' : formatTime(timeMs),
    problem ?? '',
  ]);
  return table([['TAG', 'SNAPSHOT', 'SINCE', ''], ...rows]);
}
