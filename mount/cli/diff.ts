/** `lazydisk diff`: where two snapshots differ. */
import { diffSnapshots, type SnapshotDiff, type SnapshotName } from '../../lib/repository/diff.js';
import type { Repository } from '../../lib/repository/api.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { newestNumber } from './clone.js';
import { numberIn, parseImageReference, type ImageReference } from './image-reference.js';
import { table } from './output.js';
import { formatSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { defineVerb, interruptible, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const diffVerb = defineVerb({
  command: 'diff <where> <from> [to]',
  summary: 'Show the extents in which two snapshots differ',
  examples: [
    [
      'diff s3://images/prod vm-01@1 vm-01@4',
      'what three commits have changed; reads tree nodes that differ, and no data',
    ],
    ['diff /mnt vm-01@4', 'the same against the snapshot that it was made from: what one commit has changed'],
    ['diff /mnt debian-12:stable vm-01', 'how far a clone has gone from a tag'],
    ['diff /mnt vm-01@1 vm-01 --json', 'extents as qemu-img map prints them'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('from', { type: 'string', demandOption: true, describe: 'image (its newest), image@N or image:TAG' })
      .positional('to', { type: 'string', describe: 'the other one; none: FROM against its parent' }),
  run: async (options, { output, registry, environment }) => {
    const first = parseImageReference(options.from);
    const second = options.to === undefined ? undefined : parseImageReference(options.to);
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    const diff = await withRepository(address, use, (repository) =>
      interruptible(async (signal) => {
        const named = await snapshotOf(repository, first);
        const [from, to] =
          second === undefined
            ? [await parentOf(repository, named), named]
            : [named, await snapshotOf(repository, second)];
        return diffSnapshots(repository, from, to, { signal });
      }),
    );
    output.result({ ...diff, extents: diff.extents.map(mapped) }, () => spoken(diff));
  },
});

async function snapshotOf(repository: Repository, reference: ImageReference): Promise<SnapshotName> {
  const { image } = reference;
  return { image, number: (await numberIn(repository, reference)) ?? (await newestNumber(repository, image)) };
}

/** NOT_FOUND: it has none. */
async function parentOf(repository: Repository, { image, number }: SnapshotName): Promise<SnapshotName> {
  const { parent } = await repository.readRecord(image, number);
  if (parent !== null) return { image: parent.image, number: parent.number };
  throw new LazydiskError(
    'NOT_FOUND',
    `${image}@${String(number)} was made from nothing else: name the snapshot to compare it with.`,
    { facts: { image, number } },
  );
}

/** As `qemu-img map --output=json` names them, for the second snapshot; `was` is the first one. */
function mapped({ offsetBytes, lengthBytes, change }: SnapshotDiff['extents'][number]) {
  const data = change !== 'zeroed';
  return { start: offsetBytes, length: lengthBytes, zero: !data, data, was: change === 'written' ? 'zero' : 'data' };
}

function spoken({ from, to, extents, changedBytes, writtenBytes, zeroedBytes, storedBytes }: SnapshotDiff): string {
  const names = `${from.image}@${String(from.number)} and ${to.image}@${String(to.number)}`;
  const sizes =
    from.sizeBytes === to.sizeBytes
      ? ''
      : `; the size goes from ${formatSize(from.sizeBytes)} to ${formatSize(to.sizeBytes)}`;
  if (extents.length === 0) return `${names} hold the same data${sizes}`;
  const rows = extents.map(({ offsetBytes, lengthBytes, change }) => [
    String(offsetBytes),
    String(lengthBytes),
    change,
  ]);
  const parts = [
    ...(changedBytes === 0 ? [] : [`${formatSize(changedBytes)} changed`]),
    ...(writtenBytes === 0 ? [] : [`${formatSize(writtenBytes)} written over zeros`]),
    ...(zeroedBytes === 0 ? [] : [`${formatSize(zeroedBytes)} zeroed`]),
  ];
  return `${table([['START', 'LENGTH', 'CHANGE'], ...rows])}\n${names}: ${parts.join(', ')}; ${formatSize(storedBytes)} to fetch${sizes}`;
}
