/** `lazydisk flatten`: keeps a snapshot as one plain local file, which the kernel reads by itself. */
import { LazydiskError } from '../../lib/util/errors.js';
import { ControlClient } from '../service/control-client.js';
import { numberOn, parseImageReference } from './image-reference.js';
import { formatSize } from './sizes.js';
import { defineVerb, MOUNTPOINT } from './verb.js';
import { requireMount } from './where.js';

export const flattenVerb = defineVerb({
  command: 'flatten <mountpoint> <image>',
  summary: 'Keep a snapshot as one flat local file, to be read as fast as any local file',
  examples: [
    ['flatten /mnt debian-12@3', 'fetch what is missing, and let the kernel read 3.raw without the daemon'],
    ['flatten /mnt debian-12@3 --drop', 'give the space back'],
  ],
  options: (program) =>
    program
      .positional('mountpoint', MOUNTPOINT)
      .positional('image', { type: 'string', demandOption: true, describe: 'image@N or image:TAG: the snapshot' })
      .option('drop', { type: 'boolean', default: false, describe: 'remove the flat file' }),
  run: async ({ mountpoint, image, drop }, { output, registry }) => {
    const reference = parseImageReference(image);
    const mount = await requireMount(mountpoint, registry, 'flatten', 'flat files belong to a mount');
    const client = new ControlClient(mount.socket);
    const number = await numberOn(client, reference);
    if (number === undefined) {
      throw new LazydiskError('USAGE', `Expected a snapshot such as ${reference.image}@1, got ${image}: heads change.`);
    }
    const name = `${reference.image}@${String(number)}`;
    if (drop) {
      output.result(
        { image: reference.image, number, ...(await client.dropFlat(reference.image, number)) },
        (result) => (result.dropped ? `${name}: the flat file is gone` : `${name}: there was no flat file`),
      );
      return;
    }
    output.result(
      await client.keepFlat(reference.image, number),
      ({ dataBytes }) => `${name}: kept as a flat file too (${formatSize(dataBytes)}); the next open of it reads it`,
    );
  },
});
