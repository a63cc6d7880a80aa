/** `lazydisk clone`: a new image from a snapshot, whatever its size, by one small object. */
import { randomId } from '../../lib/format/checksums.js';
import type { CloneOutcome } from '../../lib/image/api.js';
import type { Repository } from '../../lib/repository/api.js';
import { cloneSnapshot } from '../../lib/repository/clone.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { ControlClient } from '../service/control-client.js';
import type { CloneWish } from '../tree/command-values.js';
import { numberIn, numberOn, parseImageName, parseImageReference, type ImageReference } from './image-reference.js';
import { parseSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { defineVerb, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const cloneVerb = defineVerb({
  command: 'clone <where> <image> <new-image>',
  summary: 'Make a new image from a snapshot; costs one small object, or none',
  examples: [
    ['clone /mnt debian-12 vm-01', 'from the newest snapshot'],
    ['clone s3://images/prod debian-12@3 vm-02', 'from snapshot 3, without a mount'],
    ['clone /mnt debian-12:stable vm-03', 'from the snapshot that is tagged so'],
    ['clone /mnt vm-01 vm-01-copy --commit', 'commit what was written to vm-01 first'],
    ['clone /mnt debian-12 scratch --local', 'on this host only, until it is committed; needs no right to write'],
    ['clone /mnt debian-12 vm-04 --size 40G', 'larger than its source; costs nothing until it is written'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', demandOption: true, describe: 'source: image, image@N or image:TAG' })
      .positional('new-image', { type: 'string', demandOption: true, describe: 'name of the new image' })
      .option('commit', { type: 'boolean', default: false, describe: 'commit uncommitted writes of the source first' })
      .option('local', {
        type: 'boolean',
        default: false,
        describe: 'keep the new image on this host until its first commit',
      })
      .option('size', { type: 'string', describe: 'make the new image larger, as 40G; zeros follow what is there' }),
  run: async (options, { output, registry, environment }) => {
    const reference = parseImageReference(options.image);
    const newImage = parseImageName(options.newImage);
    if (options.commit && reference.snapshot.kind !== 'none') {
      throw new LazydiskError(
        'USAGE',
        '--commit clones what was written last, so the source takes no @N or :TAG with it.',
      );
    }
    const sizeBytes = options.size === undefined ? undefined : parseSize(options.size, '--size');
    const where = await resolveWhere(options.where, options.endpoint, registry);
    if ((options.commit || options.local) && where.kind === 'repository') {
      const option = options.commit ? '--commit' : '--local';
      throw new LazydiskError(
        'USAGE',
        `clone ${option} takes a mountpoint, not a repository: only a mount has local writes.`,
      );
    }
    const made =
      where.kind === 'mount'
        ? await cloneOnMount(new ControlClient(where.mount.socket), reference, newImage, { ...options, sizeBytes })
        : await withRepository(where.repository, { environment, timeoutMs: storeTimeoutMs(options) }, (repository) =>
            cloneStored(repository, reference, newImage, sizeBytes),
          );
    output.result(made, ({ number: first, source }) =>
      first === null
        ? `${made.image} is a clone of ${source.image}@${String(source.number)} on this host only; its first commit publishes it`
        : `${made.image}@${String(first)} is a clone of ${options.image}`,
    );
  },
});

async function cloneOnMount(
  client: ControlClient,
  reference: ImageReference,
  newImage: string,
  { commit, local, sizeBytes }: CloneWish,
): Promise<CloneOutcome> {
  return client.clone(reference.image, newImage, {
    number: await numberOn(client, reference),
    commit,
    local,
    sizeBytes,
  });
}

async function cloneStored(
  repository: Repository,
  reference: ImageReference,
  newImage: string,
  sizeBytes: number | undefined,
): Promise<CloneOutcome> {
  const { image } = reference;
  const number = async (): Promise<number> =>
    (await numberIn(repository, reference)) ?? (await newestNumber(repository, image));
  const from = { from: image, number: number() };
  const record = await cloneSnapshot(repository, { ...from, to: newImage, sizeBytes, writerId: randomId() });
  return { image: newImage, number: record.number, source: { image, number: await from.number } };
}

/** NOT_FOUND: no such image, or it has no snapshot. */
export async function newestNumber(repository: Repository, image: string): Promise<number> {
  const newest = (await repository.listImage(image)).snapshots.at(-1);
  if (newest !== undefined) return newest.number;
  throw new LazydiskError('NOT_FOUND', `There is no image ${image} in ${repository.store.location}.`, {
    facts: { image },
  });
}
