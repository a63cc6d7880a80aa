/** `lazydisk undelete`: brings a deleted snapshot back, within the grace of collections. */
import { taggedNumber } from '../../lib/repository/tags.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { parseImageReference } from './image-reference.js';
import { withRepository } from './store-stack.js';
import { defineVerb, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const undeleteVerb = defineVerb({
  command: 'undelete <where> <snapshot>',
  summary: 'Bring a deleted snapshot back, as long as no gc has found its grace over',
  examples: [['undelete s3://images/prod vm-01@3', 'the same snapshot, under the same number']],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('snapshot', { type: 'string', demandOption: true, describe: 'image@N, or image:TAG' }),
  run: async (options, { output, registry, environment }) => {
    const { image, snapshot } = parseImageReference(options.snapshot);
    if (snapshot.kind === 'none') {
      throw new LazydiskError(
        'USAGE',
        `undelete takes one snapshot, as ${image}@3; \`lazydisk list WHERE ${image}\` names the deleted ones.`,
      );
    }
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    const number = await withRepository(address, use, async (repository) => {
      // A tag may lead to a snapshot that was deleted by an older lazydisk.
      const chosen =
        snapshot.kind === 'tag' ? await taggedNumber(repository.store, image, snapshot.tag) : snapshot.number;
      await repository.undeleteSnapshot(image, chosen);
      return chosen;
    });
    output.result({ image, number }, () => `${image}@${String(number)} is back`);
  },
});
