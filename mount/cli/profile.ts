/** `lazydisk profile`: shows, records or drops the boot profile of an image. */
import type { BootProfile } from '../../lib/format/profile.js';
import { profileBytes } from '../../lib/image/boot-profile.js';
import { dropProfile, readProfile } from '../../lib/repository/profiles.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { ControlClient } from '../service/control-client.js';
import { parseImageName } from './image-reference.js';
import { formatTime } from './output.js';
import { formatSize } from './sizes.js';
import { withRepository } from './store-stack.js';
import { defineVerb, storeTimeoutMs, WHERE } from './verb.js';
import { requireMount, resolveWhere } from './where.js';

const ACTIONS = ['show', 'record', 'drop'] as const;

export const profileVerb = defineVerb({
  command: 'profile <action> <where> <image>',
  summary: 'Show, record or drop the boot profile of an image',
  examples: [
    ['profile show s3://images/prod debian-12', 'what a boot of it touches'],
    ['profile record /mnt debian-12', 'keep what was read of disk.raw since the mount has it'],
    ['profile drop /mnt debian-12', 'the next boot is recorded anew'],
  ],
  options: (program) =>
    program
      .positional('action', { choices: ACTIONS, demandOption: true, describe: 'what to do' })
      .positional('where', WHERE)
      .positional('image', { type: 'string', demandOption: true, describe: 'whose profile' }),
  run: async (options, { output, registry, environment }) => {
    const image = parseImageName(options.image);
    if (options.action === 'record') {
      const mount = await requireMount(options.where, registry, 'profile record', 'only a mount knows what was read');
      const profile = await new ControlClient(mount.socket).recordProfile(image);
      output.result({ image, profile }, () => `recorded: ${describe(image, profile)}`);
      return;
    }
    const { repository } = await resolveWhere(options.where, options.endpoint, registry);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    if (options.action === 'drop') {
      await withRepository(repository, use, ({ store }) => dropProfile(store, image));
      output.result({ image, profile: null }, () => `${image} has no boot profile of its own any more`);
      return;
    }
    const profile = await withRepository(repository, use, ({ store }) => readProfile(store, image));
    if (profile === null) {
      throw new LazydiskError(
        'NOT_FOUND',
        `${image} has no boot profile of its own: boot it from a mount with --profile auto, or run profile record.`,
      );
    }
    output.result({ image, profile }, () => describe(image, profile));
  },
});

function describe(image: string, { ranges, boots, timeMs }: BootProfile): string {
  const unused = ranges.filter(({ unusedBoots }) => unusedBoots > 0);
  return (
    `${image}: ${formatSize(profileBytes(ranges))} in ${String(ranges.length)} ranges, of which the last boot left ` +
    `${formatSize(profileBytes(unused))} unused; ${String(boots)} boots, the last one kept ${formatTime(timeMs)}`
  );
}
