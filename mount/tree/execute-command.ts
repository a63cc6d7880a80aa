/**
 * What each verb asks of the images: a parsed command in, its answer out, or the error that says why not.
 *
 * Names, labels and tags are looked at here, before anything happens; what may run beside what is the images' own rule. Nothing
 * of this knows that a command has an id or that somebody waits for it (command-runs.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { assertImageName } from '../../lib/format/keys.js';
import type { BootProfile } from '../../lib/format/profile.js';
import { MAX_LABEL_LENGTH } from '../../lib/format/snapshot-record.js';
import type { Catalogue, CommitCut, Image } from '../../lib/image/api.js';
import { hasCode, LazydiskError } from '../../lib/util/errors.js';
import type { CommandResult } from './command-values.js';
import type { ControlCommand, ProfileAction, SnapshotWord } from './control/grammar.js';

/** A command that does something to an image. */
export type RunnableCommand = Exclude<ControlCommand, { verb: 'help' }>;

/**
 * How long a command that needs a closed head waits for one to be closed. The kernel tells of the last close after close(2)
 * has returned, so a command that follows at once may come first.
 */
const RELEASE_GRACE_MS = 500;
const RELEASE_POLL_MS = 20;

/** `onCut` is told when a commit's cut is taken. */
export async function executeCommand(
  catalogue: Catalogue,
  command: RunnableCommand,
  onCut: ((cut: CommitCut) => void) | undefined,
): Promise<CommandResult> {
  const image = command.image ?? '';
  switch (command.verb) {
    case 'commit':
      assertLabel(command.label);
      if (command.as !== undefined) assertImageName(command.as);
      return (await findImage(catalogue, image)).commit({ label: command.label, as: command.as, onCut });
    case 'clone': {
      assertImageName(command.newName);
      const number = await numberOf(catalogue, image, command);
      return catalogue.clone(image, command.newName, { ...command, number });
    }
    case 'revert': {
      const number = await numberOf(catalogue, image, command);
      await afterRelease(async () => (await findImage(catalogue, image)).revert(number));
      return { image, number: number ?? null };
    }
    case 'unlock':
      await afterRelease(() => catalogue.unlock(image));
      return { image };
    case 'hydrate':
      return (await findImage(catalogue, image)).hydrate(await numberOf(catalogue, image, command));
    case 'profile':
      return { image, profile: await profileAfter(await findImage(catalogue, image), command.action) };
  }
}

/** What a read-only mount refuses. Its cache is its own. */
export function changesSomething(command: RunnableCommand): boolean {
  return command.verb !== 'hydrate' && !(command.verb === 'profile' && command.action === 'show');
}

/** The number of the snapshot that a tag leads to now. NOT_FOUND. */
export async function taggedNumber(catalogue: Catalogue, image: string, tag: string): Promise<number> {
  return (await findImage(catalogue, image)).tagged(tag, 'now');
}

async function numberOf(
  catalogue: Catalogue,
  image: string,
  { number, tag }: SnapshotWord,
): Promise<number | undefined> {
  return tag === undefined ? number : taggedNumber(catalogue, image, tag);
}

async function findImage(catalogue: Catalogue, name: string): Promise<Image> {
  const image = await catalogue.find(name);
  if (image !== undefined) return image;
  throw new LazydiskError('NOT_FOUND', `There is no image ${name}.`, { facts: { image: name } });
}

async function profileAfter(image: Image, action: ProfileAction): Promise<BootProfile | null> {
  if (action === 'record') return image.recordProfile();
  if (action === 'drop') await image.dropProfile();
  return image.profile();
}

/** Runs work that is BUSY while a head is open; tries again for a short while. */
async function afterRelease(work: () => Promise<void>): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += RELEASE_POLL_MS) {
    try {
      return await work();
    } catch (error) {
      if (!hasCode(error, 'BUSY') || waitedMs >= RELEASE_GRACE_MS) throw error;
    }
    await delay(RELEASE_POLL_MS);
  }
}

function assertLabel(label: string): void {
  if (label.length <= MAX_LABEL_LENGTH) return;
  throw new LazydiskError('USAGE', `Expected a label of at most ${MAX_LABEL_LENGTH} characters, got ${label.length}.`);
}
