/** `lazydisk hydrate`: an image becomes local, and needs the store no more. */
import { ControlClient } from '../service/control-client.js';
import { numberOn, parseImageReference } from './image-reference.js';
import { formatDuration } from './output.js';
import { ProgressLine } from './progress.js';
import { formatSize } from './sizes.js';
import { defineVerb, MOUNTPOINT } from './verb.js';
import { requireMount } from './where.js';

/** How often the daemon is asked how far it is, milliseconds. */
const ASK_MS = 500;

export const hydrateVerb = defineVerb({
  command: 'hydrate <mountpoint> <image>',
  summary: 'Fetch all of an image, so that it needs the store no more',
  examples: [
    ['hydrate /mnt vm-01', 'what disk.raw stands on'],
    ['hydrate /mnt debian-12@3', 'one snapshot'],
  ],
  options: (program) =>
    program.positional('mountpoint', MOUNTPOINT).positional('image', {
      type: 'string',
      demandOption: true,
      describe: 'image of the mount, or IMAGE@N or IMAGE:TAG',
    }),
  run: async (options, { output, registry }) => {
    const mount = await requireMount(options.mountpoint, registry, 'hydrate', 'it fills the cache of a mount');
    const reference = parseImageReference(options.image);
    const { image } = reference;
    const client = new ControlClient(mount.socket);
    const number = await numberOn(client, reference);
    const progress = new ProgressLine(output, `fetching ${options.image}`);
    const timer = setInterval(() => {
      client.imageStatus(image).then(
        ({ hydrating }) => {
          if (hydrating !== null) {
            progress.update({ doneBytes: hydrating.arrivedBytes, totalBytes: hydrating.totalBytes });
          }
        },
        () => undefined, // the command itself says what is wrong
      );
    }, ASK_MS);
    try {
      const outcome = await client.hydrate(image, number);
      output.result(
        outcome,
        ({ localBytes, fetchedBytes, durationMs }) =>
          `${options.image} is here: ${formatSize(localBytes)}, of which ${formatSize(fetchedBytes)} were fetched ` +
          `in ${formatDuration(durationMs)}`,
      );
    } finally {
      clearInterval(timer);
      progress.end();
    }
  },
});
