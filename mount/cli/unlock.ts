/** `lazydisk unlock`: takes the writer's lock from an image. */
import type { WriterLock } from '../../lib/format/writer-lock.js';
import type { Repository } from '../../lib/repository/api.js';
import { describeImages } from '../../lib/repository/describe.js';
import { ControlClient } from '../service/control-client.js';
import { parseImageName } from './image-reference.js';
import { formatTime } from './output.js';
import { withRepository } from './store-stack.js';
import { defineVerb, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

export const unlockVerb = defineVerb({
  command: 'unlock <where> <image>',
  summary: "Give up a mount's lock of an image, or take away that of a host that is gone",
  examples: [
    ['unlock /mnt vm-01', 'this mount lets others write; only when all is committed'],
    ['unlock s3://images/prod vm-01', 'whoever held it: only when that host is gone for good'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', demandOption: true, describe: 'image whose lock is in the way' }),
  run: async (options, { output, registry, environment }) => {
    const image = parseImageName(options.image);
    const where = await resolveWhere(options.where, options.endpoint, registry);
    if (where.kind === 'mount') {
      await new ControlClient(where.mount.socket).unlock(image);
      output.result({ image, unlocked: true }, () => `${image} is not locked by this mount any more`);
      return;
    }
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    const lock = await withRepository(where.repository, use, (repository) => takeAway(repository, image));
    output.result({ image, unlocked: lock !== null, lock }, () =>
      lock === null
        ? `${image} was not locked`
        : `${image} was locked by ${lock.host} (pid ${String(lock.pid)}) since ${formatTime(lock.timeMs)}; it is not any more`,
    );
  },
});

/** null: nobody had it. NOT_FOUND: no such image. */
async function takeAway(repository: Repository, image: string): Promise<WriterLock | null> {
  const lock = await repository.releaseLock(image, undefined);
  if (lock === null) await describeImages(repository, { image });
  return lock;
}
