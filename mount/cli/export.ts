/** `lazydisk export`: a snapshot becomes a sparse raw file, or a container of another hypervisor. */
import { exportImage, type ExportOptions } from '../../lib/repository/export.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { numberIn, parseImageReference } from './image-reference.js';
import { formatDuration } from './output.js';
import { ProgressLine } from './progress.js';
import { formatSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { defineVerb, interruptible, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

const FORMATS = ['raw', 'qcow2', 'vmdk', 'vhdx', 'vhd', 'vdi'] as const;

export const exportVerb = defineVerb({
  command: 'export <where> <image> <file>',
  summary: 'Write a snapshot to a sparse raw file, or as qcow2, vmdk, vhdx, vhd or vdi',
  examples: [
    ['export s3://images/prod debian-12 debian-12.raw', 'the newest snapshot'],
    ['export s3://images/prod debian-12 debian-12.qcow2 --format qcow2', 'for others; as thin as the image'],
    ['export /mnt vm-01@2 - | zstd > vm-01.zst', 'snapshot 2, to standard output'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', demandOption: true, describe: 'image, image@N or image:TAG' })
      .positional('file', { type: 'string', demandOption: true, describe: 'file to write, or - for stdout' })
      .option('format', {
        choices: FORMATS,
        describe: 'what to write (default: raw); all others need qemu-img and qemu-nbd, and a file',
      })
      .option('force', { type: 'boolean', default: false, describe: 'replace a file that is there' }),
  run: async (options, { output, registry, environment }) => {
    const reference = parseImageReference(options.image);
    const { image } = reference;
    const toStdout = options.file === '-';
    if (toStdout && output.json) {
      throw new LazydiskError(
        'USAGE',
        'stdout can hold the image or JSON, not both: leave out --json, or name a file.',
      );
    }
    const format = options.format ?? 'raw';
    if (toStdout && format !== 'raw') {
      throw new LazydiskError('USAGE', `A ${format} is not written in order, so it can't go to stdout: name a file.`);
    }
    const otherFormat = FORMATS.find((one) => options.file.toLowerCase().endsWith(`.${one}`));
    if (options.format === undefined && otherFormat !== undefined && otherFormat !== 'raw') {
      throw new LazydiskError(
        'USAGE',
        `${options.file} would be a raw disk: add --format ${otherFormat}, or --format raw if that is meant.`,
      );
    }
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const startedMs = Date.now();
    const progress = new ProgressLine(output, `exporting ${options.image}`);
    const target: ExportOptions['target'] = toStdout
      ? { kind: 'stream', stream: process.stdout }
      : { kind: 'file', path: options.file, force: options.force, format };
    try {
      const result = await withRepository(address, { environment, timeoutMs: storeTimeoutMs(options) }, (repository) =>
        interruptible(async (signal) =>
          exportImage(repository, {
            signal,
            image,
            number: await numberIn(repository, reference),
            target,
            onProgress: ({ processedBytes, totalBytes, downloadedBytes }) => {
              const extra = `${formatSize(downloadedBytes)} downloaded`;
              progress.update({ doneBytes: processedBytes, totalBytes, extra });
            },
          }),
        ),
      );
      progress.end();
      const durationMs = Date.now() - startedMs;
      const line = `${image}@${String(result.number)}: ${formatSize(result.sizeBytes)}, ${formatSize(result.downloadedBytes)} downloaded in ${formatDuration(durationMs)}`;
      if (toStdout) output.note(line);
      else output.result({ ...result, file: options.file, durationMs }, () => line);
    } finally {
      progress.end();
    }
  },
});
