/** `lazydisk import`: a disk, as it comes, becomes an image, or the next snapshot of one. */
import type { Readable } from 'node:stream';
import { importImage, type ImportOptions, type ImportProgress } from '../../lib/repository/import.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { parseImageReference } from './image-reference.js';
import { formatDuration } from './output.js';
import { ProgressLine, type ProgressState } from './progress.js';
import { formatSize, parseSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { MAX_UPLOAD } from './common-options.js';
import { defineVerb, interruptible, maxUploadBytesPerSecond, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const importVerb = defineVerb({
  command: 'import <where> <file> <image>',
  summary: 'Store a disk as a new image, or as the next snapshot of an image',
  examples: [
    ['import s3://images/prod debian-12.raw debian-12', 'a raw file; holes are skipped'],
    ['import s3://images/prod debian-12.qcow2 debian-12', 'also vmdk, vhdx, vhd and vdi, and raw.xz, .gz, .zst'],
    ['import s3://images/prod https://example.org/debian-12.qcow2 debian-12 --sha256 HEX', 'from a server, checked'],
    ['import s3://images/prod rootfs.tar.zst tools --size 4G', 'a tree of files becomes an ext4 file system'],
    [
      'import s3://images/prod app.oci app --reference app:1.4',
      'an image of containers: an OCI layout, or what docker save wrote',
    ],
    ['import /mnt debian-12.raw debian-12 --label "June"', 'into the repository of a mount'],
    ['import file:///srv/images - vm < disk.raw', 'from standard input'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('file', {
        type: 'string',
        demandOption: true,
        describe:
          'disk image (raw, qcow2, vmdk, vhdx, vhd, vdi; also packed by gzip, xz, zstd), folder, tar or image of containers (OCI layout, docker save) that becomes an ext4, block device, http(s) URL, or - for stdin',
      })
      .positional('image', { type: 'string', demandOption: true, describe: 'name of the image' })
      .option('label', { type: 'string', describe: 'a few words to find the snapshot by' })
      .option('new', { type: 'boolean', default: false, describe: 'fail when the image exists' })
      .option('format', {
        choices: ['raw'] as const,
        describe: 'insist that the file is raw, whatever it begins with',
      })
      .option('sha256', { type: 'string', describe: 'import nothing unless the file, as it is, has this SHA-256' })
      .option('sha512', { type: 'string', describe: 'the same with SHA-512' })
      .option('size', {
        type: 'string',
        describe: 'size of the ext4 that a folder or tar becomes (default: what fits)',
      })
      .option('reference', { type: 'string', describe: 'which of several images of containers: its name or digest' })
      .option('platform', {
        type: 'string',
        describe: 'for which machine an image of containers is, as linux/arm64 (default: like this one)',
      })
      .option('follow', {
        type: 'boolean',
        default: false,
        describe: 'also read other files that the disk refers to (backing files, extents)',
      })
      .option('max-upload', MAX_UPLOAD),
  run: async (options, { output, registry, environment }) => {
    const reference = parseImageReference(options.image);
    if (reference.snapshot.kind !== 'none') {
      throw new LazydiskError('USAGE', `import makes the next snapshot, so it takes a name, not ${options.image}.`);
    }
    const checksum = checksumOf(options);
    const fileSystemBytes = options.size === undefined ? undefined : parseSize(options.size, '--size');
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const startedMs = Date.now();
    const progress = new ProgressLine(output, `importing ${reference.image}`);
    const source = sourceOf(options.file);
    try {
      const storeUse = {
        environment,
        timeoutMs: storeTimeoutMs(options),
        maxUploadBytesPerSecond: maxUploadBytesPerSecond(options),
      };
      const result = await withRepository(address, storeUse, (repository) =>
        interruptible((signal) => {
          if (source.kind === 'stream') endWith(signal, source.stream);
          return importImage(repository, {
            signal,
            source,
            image: reference.image,
            label: options.label,
            newOnly: options.new,
            format: options.format,
            checksum,
            follow: options.follow,
            fileSystemBytes,
            reference: options.reference,
            platform: options.platform,
            onProgress: (state) => {
              progress.update(shown(state));
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

function sourceOf(file: string): ImportOptions['source'] {
  if (file === '-') return { kind: 'stream', stream: process.stdin, name: 'standard input' };
  return /^https?:\/\//i.test(file) ? { kind: 'url', url: file } : { kind: 'file', path: file };
}

/** A pipe that brings nothing would not see the signal. The error is for who reads; it may come when nobody does any more. */
function endWith(signal: AbortSignal, stream: Readable): void {
  stream.on('error', () => undefined);
  signal.addEventListener('abort', () => stream.destroy(new Error('interrupted')), { once: true });
}

type Checksum = NonNullable<ImportOptions['checksum']>;

/** USAGE: both, or not as many digits as the algorithm has. */
function checksumOf({
  sha256,
  sha512,
}: Readonly<Record<Checksum['algorithm'], string | undefined>>): Checksum | undefined {
  if (sha256 !== undefined && sha512 !== undefined) {
    throw new LazydiskError('USAGE', 'One of --sha256 and --sha512 is enough.');
  }
  if (sha512 !== undefined) return { algorithm: 'sha512', hex: digits(sha512, '--sha512', 128) };
  return sha256 === undefined ? undefined : { algorithm: 'sha256', hex: digits(sha256, '--sha256', 64) };
}

function digits(text: string, option: string, count: number): string {
  const hex = text.trim().toLowerCase();
  if (/^[0-9a-f]+$/.test(hex) && hex.length === count) return hex;
  throw new LazydiskError('USAGE', `${option} takes ${String(count)} hexadecimal digits, not ${JSON.stringify(text)}.`);
}

/** What is read in order is measured by what has come of it; the rest by the place in the image. */
function shown({ processedBytes, totalBytes, uploadedBytes, intake }: ImportProgress): ProgressState {
  const extra = `${formatSize(uploadedBytes)} uploaded`;
  if (totalBytes !== null && processedBytes > 0) return { doneBytes: processedBytes, totalBytes, extra };
  if (intake !== null) return { doneBytes: intake.doneBytes, totalBytes: intake.totalBytes ?? undefined, extra };
  return { doneBytes: processedBytes, totalBytes: totalBytes ?? undefined, extra };
}
