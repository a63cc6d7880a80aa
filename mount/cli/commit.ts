/** `lazydisk commit`: what the guest wrote becomes the next snapshot. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommitOutcome } from '../../lib/image/api.js';
import { errnoOf, LazydiskError, messageOf } from '../../lib/util/errors.js';
import { ControlClient } from '../service/control-client.js';
import { parseImageName, parseImageReference } from './image-reference.js';
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
    ['commit /mnt vm-01 --async', 'return when the cut is taken; `lazydisk status` follows it'],
    ['commit /mnt vm-01 --as vm-01-mine', 'save what cannot become the next snapshot as a new image'],
  ],
  options: (program) =>
    program
      .positional('mountpoint', MOUNTPOINT)
      .positional('image', { type: 'string', demandOption: true, describe: 'image of the mount' })
      .option('label', { type: 'string', describe: 'a few words to find the snapshot by' })
      .option('as', { type: 'string', describe: 'publish it as snapshot 1 of a new image of this name' })
      .option('async', { type: 'boolean', default: false, describe: 'do not wait for the upload' }),
  run: async ({ mountpoint, image, label, as, async: isAsync }, { output, registry }) => {
    const mount = await requireMount(mountpoint, registry, 'commit', 'only a mount has local writes');
    const reference = parseImageReference(image);
    if (reference.snapshot.kind !== 'none') {
      throw new LazydiskError('USAGE', `commit publishes the head of an image, so it takes a name, not ${image}.`);
    }
    await syncHead(join(mount.mountpoint, reference.image, 'disk.raw'));
    const client = new ControlClient(mount.socket);
    const wish = { label, as: as === undefined ? undefined : parseImageName(as) };
    if (isAsync) {
      output.result(await client.beginCommit(reference.image, wish), ({ id, pauseMs, outcome }) =>
        outcome === null
          ? `${id}: the cut is taken, writers waited ${pauseMs.toFixed(0)} ms; \`lazydisk status ${mountpoint} --command ${id}\` follows it`
          : `${id}: ${describe(outcome)}`,
      );
    } else {
      output.result(await client.commit(reference.image, wish), describe);
    }
  },
});

function describe({ image, number, changed, dirtyBytes, uploadedBytes, pauseMs, durationMs }: CommitOutcome): string {
  return changed
    ? `${image}@${String(number)}: ${formatSize(dirtyBytes)} had changed, ${formatSize(uploadedBytes)} uploaded, ` +
        `writers waited ${pauseMs.toFixed(0)} ms, took ${formatDuration(durationMs)}`
    : `${image} has not changed since ${image}@${String(number)}: there is nothing to commit`;
}

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
