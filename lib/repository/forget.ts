/**
 * Forgetting: deletes the snapshots of images that a policy does not keep (retention.ts). All images are looked at before
 * anything is deleted. Deleting asks for locks and tags once more, snapshot by snapshot, so what has come in use meanwhile
 * stays, and the run ends with that error; what it had deleted by then is deleted, and can be undeleted.
 */
import type { Tag } from '../format/tag.js';
import { LazydiskError } from '../util/errors.js';
import type { Repository } from './api.js';
import { describeImages, type ImageDescription } from './describe.js';
import { decideRetention, type Decision, type RetentionPolicy } from './retention.js';
import { dropTagsOf } from './tags.js';

/** What is to be done with one image. */
export interface ForgetPlan {
  readonly description: ImageDescription;
  /** By ascending number, one for each living snapshot. */
  readonly decisions: readonly Decision[];
  /** Tags that go with their snapshots. */
  readonly untagged: readonly Pick<Tag, 'tag' | 'number'>[];
}

/** `images` undefined: all. NOT_FOUND, DAMAGED (a tag that can't be read may keep any snapshot), and the errors of the store. */
export async function planForget(
  repository: Repository,
  images: readonly string[] | undefined,
  policy: RetentionPolicy,
  signal?: AbortSignal,
): Promise<ForgetPlan[]> {
  const described =
    images === undefined
      ? await describeImages(repository, { signal })
      : (await Promise.all(images.map((image) => describeImages(repository, { image, signal })))).flat();
  return described.map((description) => planImage(description, policy));
}

/**
 * Carries a plan out, oldest first; resolves to the tags that are gone: one that was moved since the plan was made stays. LOCKED,
 * CONFLICT, and the errors of the store.
 */
export async function forget(
  repository: Repository,
  { description, decisions, untagged }: ForgetPlan,
): Promise<ForgetPlan['untagged']> {
  const { image } = description;
  const dropped = await dropTagsOf(repository.store, image, untagged);
  for (const { number, reasons } of decisions) {
    if (reasons.length === 0) await repository.deleteSnapshot(image, number);
  }
  return dropped;
}

function planImage(description: ImageDescription, policy: RetentionPolicy): ForgetPlan {
  const { image, snapshots, tags, lock, problem } = description;
  const unreadable = tags.find((tag) => tag.problem !== undefined)?.problem ?? problem;
  if (unreadable !== undefined) {
    throw new LazydiskError(
      'DAMAGED',
      `Nothing of ${image} is forgotten while something can't be read that may keep any of its snapshots: ${unreadable}`,
      { facts: { image } },
    );
  }
  const decisions = decideRetention(
    snapshots.map(({ number, timeMs }) => ({
      number,
      timeMs: timeMs ?? null,
      tags: tags.filter((tag) => tag.number === number).map(({ tag }) => tag),
      isBase: lock?.base?.number === number,
    })),
    policy,
  );
  const forgotten = new Set(decisions.filter(({ reasons }) => reasons.length === 0).map(({ number }) => number));
  const untagged = tags.flatMap(({ tag, number }) =>
    number !== undefined && forgotten.has(number) ? [{ tag, number }] : [],
  );
  return { description, decisions, untagged };
}
