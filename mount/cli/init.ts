/** `lazydisk init`: makes a bucket's prefix or a folder a repository. */
import { compressionOf, initRepository } from '../../lib/repository/repository.js';
import { formatSize, parseSize } from './sizes.js';
import { resolveAddress, withStore } from './store-stack.js';
import { defineVerb, storeTimeoutMs } from './verb.js';

export const initVerb = defineVerb({
  command: 'init <repository>',
  summary: 'Make a repository in a bucket or folder',
  examples: [
    ['init s3://images/prod', 'in a prefix of an existing bucket'],
    ['init file:///srv/images --chunk-size 1M', 'in a folder, with chunks of 1 MiB'],
    ['init s3://images/old --compression none', 'that versions without zstd can read, too'],
  ],
  options: (program) =>
    program
      .positional('repository', { type: 'string', demandOption: true, describe: 's3://bucket/prefix or file:///dir' })
      .option('chunk-size', {
        type: 'string',
        describe: 'for new images: a power of two from 64K to 4M (default 256K)',
      })
      .option('compression', {
        choices: ['zstd', 'none'] as const,
        describe: 'of what is uploaded (default zstd)',
      }),
  run: async (options, { output, environment }) => {
    const chunkSizeBytes = options.chunkSize === undefined ? undefined : parseSize(options.chunkSize, '--chunk-size');
    const address = await resolveAddress({ url: options.repository, endpoint: options.endpoint }, environment);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    const { created, repository } = await withStore({ ...address, endpoint: options.endpoint }, use, (store) =>
      initRepository(store, { chunkSizeBytes, compression: options.compression }),
    );
    output.result(
      {
        repository: address.url,
        repositoryId: repository.id,
        chunkSizeBytes: repository.defaultChunkSizeBytes,
        compression: compressionOf(repository.marker),
        created,
      },
      () =>
        created
          ? `made the repository ${address.url} (id ${repository.id}, chunks of ${formatSize(repository.defaultChunkSizeBytes)})`
          : `${address.url} is a repository already (id ${repository.id}): nothing was changed`,
    );
  },
});
