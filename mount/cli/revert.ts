/** `lazydisk revert`: throws away what was not committed. */
import { ControlClient } from '../service/control-client.js';
import { confirm, YES, type Question } from './confirm.js';
import { numberOn, parseImageReference } from './image-reference.js';
import { formatSize } from './sizes.js';
import { defineVerb, MOUNTPOINT } from './verb.js';
import { requireMount } from './where.js';

export const revertVerb = defineVerb({
  command: 'revert <mountpoint> <image>',
  summary: 'Throw away what was written to disk.raw since the last commit',
  examples: [
    ['revert /mnt vm-01', 'back to the snapshot that it stands on'],
    ['revert /mnt vm-01@2', 'back to snapshot 2: the next commit follows on it'],
    ['revert /mnt run-4711 --yes', 'without asking, in a script'],
  ],
  options: (program) =>
    program
      .positional('mountpoint', MOUNTPOINT)
      .positional('image', {
        type: 'string',
        demandOption: true,
        describe: 'image, or image@N or image:TAG to stand on that snapshot',
      })
      .option('yes', YES),
  run: async ({ mountpoint, image, yes }, { output, registry }) => {
    const mount = await requireMount(mountpoint, registry, 'revert', 'only a mount has local writes');
    const reference = parseImageReference(image);
    const client = new ControlClient(mount.socket);
    const chosen = await numberOn(client, reference);
    if (!yes) {
      const { dirtyBytes } = await client.imageStatus(reference.image);
      await confirm(questionFor(reference.image, dirtyBytes), output);
    }
    await client.revert(reference.image, chosen);
    output.result({ image: reference.image, number: chosen ?? null }, ({ number }) =>
      number === null
        ? `${reference.image}: local writes are gone, disk.raw is its base snapshot again`
        : `${reference.image}: local writes are gone, disk.raw is snapshot ${String(number)}`,
    );
  },
});

/** Asked whatever the size: what a guest has discarded since the last commit has none. */
function questionFor(image: string, dirtyBytes: number): Question {
  const what = `what was written to ${image} since its last commit (${formatSize(dirtyBytes)})`;
  return { text: `Throw away ${what}?`, doing: `Throwing away ${what}`, otherwise: 'Nothing was thrown away.' };
}
