/** `lazydisk upgrade`: lets writers use what this version knows and older ones don't. */
import { compressionOf, upgradeRepository } from '../../lib/repository/repository.js';
import { withStore } from './store-stack.js';
import { defineVerb, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const upgradeVerb = defineVerb({
  command: 'upgrade <where>',
  summary: 'Let writers use the newest features; older versions then cannot read what is new',
  examples: [['upgrade s3://images/prod', 'what is uploaded from now on is compressed']],
  options: (program) => program.positional('where', WHERE),
  run: async (options, { output, registry, environment }) => {
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    const { marker, added } = await withStore(address, use, (store) => upgradeRepository(store));
    output.result(
      { repository: address.url, repositoryId: marker.repositoryId, compression: compressionOf(marker), added },
      () =>
        added.length === 0
          ? `${address.url} has all features of this version: nothing was changed`
          : `${address.url}: snapshots that are made from now on may use ${added.join(', ')}; ` +
            'mounts learn of it when they are mounted again',
    );
  },
});
