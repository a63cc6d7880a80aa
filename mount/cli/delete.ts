/** `lazydisk delete`: removes snapshots. Their numbers stay used; their space is given back by a later verb. */
import type { Tag } from '../../lib/format/tag.js';
import type { Repository } from '../../lib/repository/api.js';
import { taggedError } from '../../lib/repository/deletion.js';
import { dropTagsOf, readTags } from '../../lib/repository/tags.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { confirm, YES, type Question } from './confirm.js';
import { parseSnapshotRange, type SnapshotRange } from './image-reference.js';
import { withRepository } from './store-stack.js';
import { defineVerb, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const deleteVerb = defineVerb({
  command: 'delete <where> <image>',
  summary: 'Delete an image, a snapshot, or a range of snapshots',
  examples: [
    ['delete s3://images/prod vm-01@3', 'one snapshot'],
    ['delete /mnt vm-01@1..7 --yes', 'seven snapshots, without asking'],
    ['delete /mnt vm-01 --yes', 'the whole image'],
    ['delete /mnt debian-12@2 --untag', 'also when it is tagged'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', demandOption: true, describe: 'image, image@N or image@N..M' })
      .option('untag', { type: 'boolean', default: false, describe: 'remove the tags that lead there first' })
      .option('yes', YES),
  run: async (options, { output, registry, environment }) => {
    const range = parseSnapshotRange(options.image);
    const where = await resolveWhere(options.where, options.endpoint, registry);
    await withRepository(where.repository, { environment, timeoutMs: storeTimeoutMs(options) }, async (repository) => {
      const { numbers, tags } = await chosen(repository, range, options.untag);
      if (!options.yes) await confirm(questionFor(spoken(range.image, numbers)), output);
      const untagged = await dropTagsOf(repository.store, range.image, tags);
      for (const number of numbers) await repository.deleteSnapshot(range.image, number);
      output.result(
        { image: range.image, deleted: numbers, untagged: untagged.map(({ tag }) => tag) },
        () => `deleted ${spoken(range.image, numbers)}`,
      );
    });
  },
});

interface Chosen {
  readonly numbers: readonly number[];
  /** Tags that lead to them. */
  readonly tags: readonly Tag[];
}

/** The living snapshots of the range; all is looked at before anything is deleted. NOT_FOUND, LOCKED, CONFLICT (tagged). */
async function chosen(repository: Repository, { image, numbers }: SnapshotRange, untag: boolean): Promise<Chosen> {
  const listing = await repository.listImage(image);
  const living = listing.snapshots.map((snapshot) => snapshot.number);
  const wanted = living.filter(
    (number) => numbers === undefined || (number >= numbers.first && number <= numbers.last),
  );
  const single = numbers !== undefined && numbers.first === numbers.last;
  // An interrupted deletion left a tombstone and perhaps the record: deleting again finishes it.
  if (wanted.length === 0 && single && listing.deleted.includes(numbers.first))
    return { numbers: [numbers.first], tags: [] };
  if (wanted.length === 0) {
    const what = numbers === undefined ? `no image ${image}` : `no such snapshot of ${image}`;
    throw new LazydiskError('NOT_FOUND', `There is ${what} in ${repository.store.location}.`, { facts: { image } });
  }
  const { writer } = listing;
  if (writer !== null && (numbers === undefined || (writer.base !== null && wanted.includes(writer.base.number)))) {
    const base = writer.base === null ? '' : ` and stands on snapshot ${String(writer.base.number)}`;
    throw new LazydiskError(
      'LOCKED',
      `${image} is being written by ${writer.host} (pid ${String(writer.pid)})${base}: unmount it there, or \`lazydisk unlock\` it if that host is gone.`,
      { facts: { image, lock: writer } },
    );
  }
  const tags = (await readTags(repository.store, image, listing.tags)).filter((tag) => wanted.includes(tag.number));
  const [first] = tags;
  if (first !== undefined && !untag) {
    const own = tags.filter((tag) => tag.number === first.number);
    throw taggedError(
      image,
      first.number,
      own.map(({ tag }) => tag),
    );
  }
  return { numbers: wanted, tags };
}

function questionFor(what: string): Question {
  return { text: `Delete ${what}?`, doing: `Deleting ${what}`, otherwise: 'Nothing was deleted.' };
}

function spoken(image: string, numbers: readonly number[]): string {
  const [first] = numbers;
  const last = numbers.at(-1);
  if (numbers.length === 1) return `${image}@${String(first)}`;
  return `${String(numbers.length)} snapshots of ${image} (${String(first)} to ${String(last)})`;
}
