/** `lazydisk unlock`: takes the writer's lock from an image. */
import type { WriterLock } from '../../lib/format/writer-lock.js';
import type { Repository } from '../../lib/repository/api.js';
import { describeImages } from '../../lib/repository/describe.js';
import { hasCode, LazydiskError } from '../../lib/util/errors.js';
import { ControlClient } from '../service/control-client.js';
import { confirm, YES, type Question } from './confirm.js';
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
    ['unlock s3://images/prod vm-01 --yes', 'the same without asking'],
  ],
  options: (program) =>
    program
      .positional('where', WHERE)
      .positional('image', { type: 'string', demandOption: true, describe: 'image whose lock is in the way' })
      .option('yes', { ...YES, describe: 'do not ask before the lock of another is taken away' }),
  run: async (options, { output, registry, environment }) => {
    const image = parseImageName(options.image);
    const where = await resolveWhere(options.where, options.endpoint, registry);
    if (where.kind === 'mount') {
      await new ControlClient(where.mount.socket).unlock(image);
      output.result({ image, unlocked: true }, () => `${image} is not locked by this mount any more`);
      return;
    }
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    const agree = (holder: Holder): Promise<void> =>
      options.yes ? Promise.resolve() : confirm(questionFor(image, holder), output);
    const lock = await withRepository(where.repository, use, (repository) => takeAway(repository, image, agree));
    output.result({ image, unlocked: lock !== null, lock: lock === 'unreadable' ? null : lock }, () =>
      lock === null ? `${image} was not locked` : `${image} was locked by ${spoken(lock)}; it is not any more`,
    );
  },
});

/** `unreadable`: the record of the lock is damaged. */
type Holder = WriterLock | 'unreadable';

/** Whose lock was removed; null: nobody had it. NOT_FOUND: no such image. CONFLICT: it changed hands while `agree` was asked. */
async function takeAway(
  repository: Repository,
  image: string,
  agree: (holder: Holder) => Promise<void>,
): Promise<Holder | null> {
  const holder = await holderOf(repository, image);
  if (holder === null) {
    await describeImages(repository, { image });
    return null;
  }
  await agree(holder);
  const removed = await repository.releaseLock(image, holder === 'unreadable' ? undefined : holder.stateId);
  if (removed !== null || holder === 'unreadable') return holder;
  throw new LazydiskError(
    'CONFLICT',
    `${image} is not locked by ${spoken(holder)} any more; nothing was changed. \`lazydisk info\` tells who has it.`,
  );
}

async function holderOf(repository: Repository, image: string): Promise<Holder | null> {
  try {
    return await repository.readLock(image);
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return 'unreadable';
    throw error;
  }
}

function questionFor(image: string, holder: Holder): Question {
  return {
    text: `Take the lock of ${image} from ${spoken(holder)}? What is written there can then be committed under another name only.`,
    doing: `Taking the lock of ${image} from ${spoken(holder)}`,
    otherwise: 'Nothing was changed.',
  };
}

function spoken(holder: Holder): string {
  if (holder === 'unreadable') return 'somebody whose record is damaged';
  return `${holder.host} (pid ${String(holder.pid)}) since ${formatTime(holder.timeMs)}`;
}
