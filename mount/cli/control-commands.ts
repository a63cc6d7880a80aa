/** The commands of a tree as the control API offers them: a failed outcome becomes the error that it was. */
import type { BootProfile } from '../../lib/format/profile.js';
import type { CloneOutcome, CommitOutcome, HydrateOutcome } from '../../lib/image/api.js';
import { LazydiskError } from '../../lib/util/errors.js';
import type { MountStack } from '../service/daemon.js';
import { throwIfFailed } from '../tree/command-runs.js';
import type { Commands } from '../tree/commands.js';
import type { CommandOutcome } from '../tree/outcomes.js';
import type { Tree } from '../tree/tree.js';

export function controlCommands({
  commands,
  status,
  glance,
  imageStatus,
  flats,
}: Pick<Tree, 'status' | 'glance' | 'imageStatus' | 'flats'> & { commands: Commands }): MountStack['commands'] {
  return {
    commit: async (image, wish) => resultOf<CommitOutcome>(await commands.commit(image, wish)),
    beginCommit: async (image, wish) => {
      const begun = await commands.beginCommit(image, wish);
      if (!('ok' in begun)) return { id: begun.id, image, pauseMs: begun.pauseMs, outcome: null };
      const outcome = resultOf<CommitOutcome>(begun);
      return { id: begun.id, image, pauseMs: outcome.pauseMs, outcome };
    },
    command: (id) => {
      const known = commands.command(id);
      if (known !== undefined) return Promise.resolve(known);
      throw new LazydiskError('NOT_FOUND', `There is no command ${id}, or it ended long ago.`, { facts: { id } });
    },
    clone: async (image, newImage, { number, ...wish }) =>
      resultOf<CloneOutcome>(await commands.clone(image, number, newImage, wish)),
    revert: async (image, number) => {
      throwIfFailed(await commands.revert(image, number));
    },
    tagged: async (image, tag) => ({ number: await commands.tagged(image, tag) }),
    unlock: async (image) => {
      throwIfFailed(await commands.unlock(image));
    },
    keepFlat: (image, number) => flats.keepFlat(image, number),
    dropFlat: async (image, number) => ({ dropped: await flats.dropFlat(image, number) }),
    hydrate: async (image, number) => resultOf<HydrateOutcome>(await commands.hydrate(image, number)),
    recordProfile: async (image) => resultOf<{ profile: BootProfile }>(await commands.recordProfile(image)).profile,
    status: () => status(),
    glance: () => glance(),
    imageStatus: (image) => imageStatus(image),
  };
}

/** What a verb answers is said in its comment in mount/tree/commands.ts. */
function resultOf<Result>(outcome: CommandOutcome): Result {
  throwIfFailed(outcome);
  return outcome.result as Result;
}
