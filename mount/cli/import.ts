/** `lazydisk import`: a raw disk becomes an image, or the next snapshot of one. */
import { importImage, type ImportOptions } from '../../lib/repository/import.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { parseImageReference } from './image-reference.js';
import { formatDuration } from './output.js';
import { ProgressLine } from './progress.js';
import { formatSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { MAX_UPLOAD } from './common-options.js';
import { defineVerb, interruptible, maxUploadBytesPerSecond, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const importVerb = defineVerb({
  command: 'import <where> <file> <image>',
  summary: 'Store a raw disk as a new image, or as the next snapshot of an image',
  examples: [
    ['import s3://images/prod debian-12.raw debian-12', 'a raw file; holes are skipped'],
    ['import /mnt debian-12.raw debian-12 --label "June"', 'into the repository of a mount'],
    ['import file:///srv/images - vm < disk.raw', 'from standard input'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('file', {
        type: 'string',
        demandOption: true,
        describe: 'raw disk image, block device, or - for stdin',
      })
      .positional('image', { type: 'string', demandOption: true, describe: 'name of the image' })
      .option('label', { type: 'string', describe: 'a few words to find the snapshot by' })
      .option('new', { type: 'boolean', default: false, describe: 'fail when the image exists' })
      .option('format', {
        choices: ['raw'] as const,
        describe: 'insist that the file is raw, whatever it begins with',
      })
      .option('max-upload', MAX_UPLOAD),
  run: async (options, { output, registry, environment }) => {
    const reference = parseImageReference(options.image);
    if (reference.snapshot.kind !== 'none') {
      throw new LazydiskError('USAGE', `import makes the next snapshot, so it takes a name, not ${options.image}.`);
    }
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const startedMs = Date.now();
    const progress = new ProgressLine(output, `importing ${reference.image}`);
    const source: ImportOptions['source'] =
      options.file === '-'
        ? { kind: 'stream', stream: process.stdin, name: 'standard input' }
        : { kind: 'file', path: options.file };
    try {
      const storeUse = {
        environment,
        timeoutMs: storeTimeoutMs(options),
        maxUploadBytesPerSecond: maxUploadBytesPerSecond(options),
      };
      const result = await withRepository(address, storeUse, (repository) =>
        interruptible((signal) => {
          // A pipe that brings nothing would not see the signal.
          signal.addEventListener('abort', () => process.stdin.destroy(new Error('interrupted')), { once: true });
          return importImage(repository, {
            signal,
            source,
            image: reference.image,
            label: options.label,
            newOnly: options.new,
            format: options.format,
            onProgress: ({ processedBytes, totalBytes, uploadedBytes }) => {
              const extra = `${formatSize(uploadedBytes)} uploaded`;
              progress.update({ doneBytes: processedBytes, totalBytes: totalBytes ?? undefined, extra });
            },
          });
        }),
      );
      progress.end();
      output.result(
        { ...result, durationMs: Date.now() - startedMs },
        ({ number, sizeBytes, allocatedBytes, uploadedBytes, durationMs }) =>
          `${result.image}@${String(number)}: ${formatSize(sizeBytes)}, ${formatSize(allocatedBytes)} allocated, ` +
          `${formatSize(uploadedBytes)} uploaded in ${formatDuration(durationMs)}`,
      );
    } finally {
      progress.end();
    }
  },
});
