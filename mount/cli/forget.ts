/** `lazydisk forget`: deletes the snapshots that a policy does not keep. */
import { assertTagName } from '../../lib/format/keys.js';
import { forget, planForget, type ForgetPlan } from '../../lib/repository/forget.js';
import { hasRule, type Reason, type RetentionPolicy } from '../../lib/repository/retention.js';
import { LazydiskError } from '../../lib/util/errors.js';
import { assertAnswerable, confirm, YES, type Question } from './confirm.js';
import { parseDuration } from './durations.js';
import { parseImageName } from './image-reference.js';
import { formatTime, table } from './output.js';
import { withRepository } from './store-stack.js';
import { defineVerb, PARSER, parseCount, storeTimeoutMs, WHERE } from './verb.js';
import { resolveWhere } from './where.js';

const QUESTION: Question = {
  text: 'Forget them?',
  doing: 'Forgetting snapshots',
  otherwise: 'Nothing was forgotten.',
};

const count = (what: string) =>
  ({ type: 'string', describe: `keep the newest snapshot of each of the last N ${what}` }) as const;

export const forgetVerb = defineVerb({
  command: 'forget <where> [images..]',
  summary: 'Delete the snapshots that a policy does not keep',
  examples: [
    ['forget /mnt vm-01 --keep-last 5 --keep-daily 14 --dry-run', 'says what would go, and why the rest stays'],
    ['forget s3://images/prod vm-01 vm-02 --keep-within 30d --keep-monthly 12', 'a month of all, a year by months'],
    ['forget s3://images/prod --all --keep-last 3 --yes', 'every image, in a script; what is tagged or in use stays'],
    ['forget /mnt debian-12 --keep-last 2 --keep-tag stable --untag', 'of the tags, only stable keeps its snapshot'],
  ],
  options: (program) =>
    program
      // Images and --keep-tag may be many. What takes one value and is given twice is refused as no such value.
      .parserConfiguration({ ...PARSER, 'duplicate-arguments-array': true })
      .positional('where', WHERE)
      .positional('images', { type: 'string', array: true, default: [], describe: 'images to look at' })
      .option('all', { type: 'boolean', default: false, describe: 'look at every image of the repository' })
      .option('keep-last', { type: 'string', describe: 'keep the N newest snapshots (N, or unlimited)' })
      .option('keep-hourly', count('hours that have one'))
      .option('keep-daily', count('days (UTC)'))
      .option('keep-weekly', count('weeks (from Monday)'))
      .option('keep-monthly', count('months'))
      .option('keep-yearly', count('years'))
      .option('keep-within', {
        type: 'string',
        describe: 'keep what is not older than the newest by more than, as 30d',
      })
      .option('keep-tag', { type: 'string', array: true, default: [], describe: 'keep what this tag leads to' })
      .option('untag', {
        type: 'boolean',
        default: false,
        describe: 'tags other than those of --keep-tag keep nothing, and go with their snapshots',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'change nothing' })
      .option('yes', YES),
  run: async (options, { output, registry, environment }) => {
    const images = options.images.map(parseImageName);
    if (options.all === images.length > 0) {
      throw new LazydiskError('USAGE', 'forget takes the images to look at, or --all.');
    }
    const policy: RetentionPolicy = {
      last: parseKeep(options.keepLast, '--keep-last'),
      hourly: parseKeep(options.keepHourly, '--keep-hourly'),
      daily: parseKeep(options.keepDaily, '--keep-daily'),
      weekly: parseKeep(options.keepWeekly, '--keep-weekly'),
      monthly: parseKeep(options.keepMonthly, '--keep-monthly'),
      yearly: parseKeep(options.keepYearly, '--keep-yearly'),
      withinMs: options.keepWithin === undefined ? null : parseDuration(options.keepWithin, '--keep-within'),
      tags: options.keepTag.map(checkedTag),
      untag: options.untag,
    };
    if (!hasRule(policy)) {
      throw new LazydiskError(
        'USAGE',
        'forget takes a policy: --keep-last N, --keep-daily N, …; lazydisk forget --help lists them.',
      );
    }
    const { dryRun } = options;
    const asks = !dryRun && !options.yes;
    if (asks) assertAnswerable(QUESTION, output);
    const { repository: address } = await resolveWhere(options.where, options.endpoint, registry);
    const use = { environment, timeoutMs: storeTimeoutMs(options) };
    const plans = await withRepository(address, use, async (repository) => {
      const planned = await planForget(repository, options.all ? undefined : images, policy);
      if (dryRun) return planned;
      if (asks && forgottenBy(planned) > 0) {
        output.note(spoken(planned, true));
        await confirm(QUESTION, output);
      }
      const done: ForgetPlan[] = [];
      for (const plan of planned) done.push({ ...plan, untagged: await forget(repository, plan) });
      return done;
    });
    output.result({ dryRun, images: plans.map(outcomeOf) }, () => spoken(plans, dryRun));
  },
});

function checkedTag(tag: string): string {
  assertTagName(tag);
  return tag;
}

/** `N`, at least 1, or `unlimited`; 0 when it is not given. USAGE. */
function parseKeep(text: string | undefined, option: string): number {
  if (text === undefined) return 0;
  return text === 'unlimited' ? Infinity : parseCount(text, option, 1);
}

function outcomeOf({ description: { image }, decisions, untagged }: ForgetPlan) {
  return {
    image,
    kept: decisions
      .filter(({ reasons }) => reasons.length > 0)
      .map(({ number, reasons }) => ({ number, reasons: reasons.map(reasonText) })),
    forgotten: decisions.filter(({ reasons }) => reasons.length === 0).map(({ number }) => number),
    untagged: untagged.map(({ tag }) => tag),
  };
}

function forgottenBy(plans: readonly ForgetPlan[]): number {
  return plans.flatMap(({ decisions }) => decisions.filter(({ reasons }) => reasons.length === 0)).length;
}

function spoken(plans: readonly ForgetPlan[], dryRun: boolean): string {
  const rows = plans.flatMap(({ description: { image, snapshots, tags }, decisions }) =>
    decisions.map(({ number, reasons }) => {
      const timeMs = snapshots.find((snapshot) => snapshot.number === number)?.timeMs;
      return [
        `${image}@${String(number)}`,
        timeMs === undefined ? '-' : formatTime(timeMs),
        tags.flatMap((tag) => (tag.number === number ? tag.tag : [])).join(' '),
        reasons.length === 0 ? 'FORGET' : reasons.map(reasonText).join(', '),
      ];
    }),
  );
  const forgotten = forgottenBy(plans);
  const sum = `${String(forgotten)} of ${String(rows.length)} snapshots ${dryRun ? 'would be forgotten' : 'are forgotten'}`;
  const after = forgotten === 0 || dryRun ? '' : '; undelete brings them back until gc has found the grace over';
  return `${table([['SNAPSHOT', 'TIME', 'TAGS', 'KEPT AS'], ...rows])}\n${sum}${after}`;
}

function reasonText(reason: Reason): string {
  return 'oldest' in reason && reason.oldest ? `oldest ${reason.kind}` : reason.kind;
}
