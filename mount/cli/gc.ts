/** `lazydisk gc`: gives back the space of what nothing refers to any more. */
import { collectRepository, type CollectionReport } from '../../lib/repository/collection.js';
import { parseDuration } from './durations.js';
import { counted } from './output.js';
import { ProgressLine } from './progress.js';
import { formatSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { defineVerb, interruptible, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const gcVerb = defineVerb({
  command: 'gc <where>',
  summary: 'Give back the space of deleted snapshots and interrupted uploads, in two runs that lie a grace apart',
  examples: [
    ['gc s3://images/prod', 'as a daily job, on one host or on several'],
    ['gc /mnt --dry-run', 'only says what it would do'],
    ['gc s3://images/prod --grace 1d', 'deleted snapshots can be undone for a day'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .option('grace', {
        type: 'string',
        default: '7d',
        describe: 'how long deletions can be undone, and dead data stays: longer than any upload takes; at least 1h',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'change nothing' }),
  run: async ({ dryRun, ...options }, { output, registry, environment }) => {
    const graceMs = parseDuration(options.grace, '--grace');
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const progress = new ProgressLine(output, 'collecting');
    try {
      const report = await withRepository(address, { environment, timeoutMs: storeTimeoutMs(options) }, (repository) =>
        interruptible((signal) =>
          collectRepository(repository, {
            graceMs,
            dryRun,
            signal,
            onProgress: ({ nodes, removedSegments }) => {
              const extra =
                removedSegments === 0 ? `${String(nodes)} tree nodes` : `${String(removedSegments)} removed`;
              progress.update({ doneBytes: 0, extra });
            },
          }),
        ),
      );
      progress.end();
      output.result(report, () => spoken(report));
    } finally {
      progress.end();
    }
  },
});

function spoken({ dryRun, removed, condemned, waiting, living, finalisedTombstones }: CollectionReport): string {
  const would = dryRun ? 'would be ' : '';
  const amount = ({ segments, bytes }: { readonly segments: number; readonly bytes: number }): string =>
    `${formatSize(bytes)} in ${counted(segments, 'segment')}`;
  return [
    `${would}removed: ${amount(removed)}`,
    `${would}condemned, to be removed by a run after the grace: ${amount(condemned)}`,
    `condemned before, in their grace: ${amount(waiting)}`,
    `in use: ${amount(living)}, of which ${formatSize(living.deadBytes)} lie dead beside what is in use`,
    ...(finalisedTombstones === 0 ? [] : [`deletions that can't be undone any more: ${String(finalisedTombstones)}`]),
  ].join('\n');
}
