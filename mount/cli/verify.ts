/** `lazydisk verify`: reads and checks everything, or what one image needs. */
import { verifyRepository } from '../../lib/repository/verify.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { parseImageName } from './image-reference.js';
import { counted } from './output.js';
import { ProgressLine } from './progress.js';
import { formatSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { defineVerb, interruptible, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const verifyVerb = defineVerb({
  command: 'verify <where> [image]',
  summary: 'Read and check every record, tree node and chunk',
  examples: [
    ['verify s3://images/prod', 'the whole repository; reads all of it'],
    ['verify /mnt debian-12 --json', 'what one image needs'],
    ['verify s3://images/prod --structure', 'records, trees and sizes, without reading a chunk'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', describe: 'only what this image needs' })
      .option('structure', { type: 'boolean', default: false, describe: 'check without reading chunks' }),
  run: async (options, { output, registry, environment }) => {
    const image = options.image === undefined ? undefined : parseImageName(options.image);
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const progress = new ProgressLine(output, 'verifying');
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    try {
      const report = await withRepository(address, use, (repository) =>
        interruptible((signal) =>
          verifyRepository(repository, {
            signal,
            image,
            structure: options.structure,
            onProgress: ({ checkedSegments, totalSegments, readBytes }) => {
              const extra =
                totalSegments === 0
                  ? 'walking trees'
                  : `${String(checkedSegments)} of ${String(totalSegments)} segments`;
              progress.update({ doneBytes: readBytes, extra });
            },
          }),
        ),
      );
      progress.end();
      const { damages } = report;
      output.result(report, () =>
        [
          ...damages.map(({ object, what }) => `${object}: ${what}`),
          `${counted(report.images, 'image')}, ${counted(report.records, 'snapshot')}, ${counted(report.nodes, 'tree node')}, ` +
            `${counted(report.chunks, 'chunk')}, ${counted(report.segments, 'segment')}: ${formatSize(report.readBytes)} read, ` +
            (damages.length === 0 ? 'all good' : `${String(damages.length)} damaged`),
        ].join('\n'),
      );
      if (damages.length > 0) {
        throw new LazydiskError(
          'DAMAGED',
          `Damaged objects in ${address.url}: ${String(damages.length)}; they are listed on stdout.`,
          {
            facts: { objects: damages.map(({ object }) => object) },
          },
        );
      }
    } finally {
      progress.end();
    }
  },
});
