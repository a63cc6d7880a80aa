/** `lazydisk commit`: what the guest wrote becomes the next snapshot. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import { ControlClient } from '../service/control-client.js';
import { parseImageReference } from './image-reference.js';
import { formatDuration } from './output.js';
import { formatSize } from './sizes.js';
import { defineVerb, MOUNTPOINT } from './verb.js';
import { requireMount } from './where.js';

export const commitVerb = defineVerb({
  command: 'commit <mountpoint> <image>',
  summary: 'Publish what was written to disk.raw as the next snapshot',
  examples: [
    ['commit /mnt vm-01', 'while the guest runs: it goes on writing'],
    ['commit /mnt vm-01 --label "after the update"', 'with a label for `lazydisk list`'],
  ],
  options: (program) =>
    program
      .positional('mountpoint', MOUNTPOINT)
      .positional('image', { type: 'string', demandOption: true, describe: 'image of the mount' })
      .option('label', { type: 'string', describe: 'a few words to find the snapshot by' }),
  run: async ({ mountpoint, image, label }, { output, registry }) => {
    const mount = await requireMount(mountpoint, registry, 'commit', 'only a mount has local writes');
    const reference = parseImageReference(image);
    if (reference.number !== undefined) {
      throw new LazydiskError('USAGE', `commit publishes the head of an image, so it takes a name, not ${image}.`);
    }
    await syncHead(join(mount.mountpoint, reference.image, 'disk.raw'));
    const outcome = await new ControlClient(mount.socket).commit(reference.image, label);
    output.result(outcome, ({ number, changed, dirtyBytes, uploadedBytes, pauseMs, durationMs }) =>
      changed
        ? `${reference.image}@${String(number)}: ${formatSize(dirtyBytes)} had changed, ${formatSize(uploadedBytes)} uploaded, ` +
          `writers waited ${pauseMs.toFixed(0)} ms, took ${formatDuration(durationMs)}`
        : `${reference.image} has not changed since ${reference.image}@${String(number)}: there is nothing to commit`,
    );
  },
});

/** Pages that this host's kernel holds for programs that use mmap, and nothing else, are not in the daemon's hands yet. */
async function syncHead(path: string): Promise<void> {
  const file = await open(path, 'r').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined; // the daemon knows why there is none
    throw new LazydiskError('IO', `${path} can't be opened to sync it: ${messageOf(error)}.`, { cause: error });
  });
  if (file === undefined) return;
  try {
    await file.sync();
  } catch (error) {
    throw new LazydiskError('IO', `${path} can't be synced, so it is not committed: ${messageOf(error)}.`, {
      cause: error,
    });
  } finally {
    await file.close();
  }
}
