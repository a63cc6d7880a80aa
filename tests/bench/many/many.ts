/**
 * The part "many": one, four and eight clones of one image, each replaying the boot's reads at once, in one mount behind the
 * slow link. The mount is there before, as on a host; all files are opened at once.
 */
import { join, resolve } from 'node:path';
import { mountOurs, requireMountOption, withoutProfile } from '../cold/ours.js';
import { lazydisk, prepareImages, repositoryUrl, type Prepared } from '../images.js';
import { startRemoteLink, type RemoteLink } from '../link-process.js';
import { monotonicSeconds, prepareReplay } from '../replay.js';
import { failureOf, runFacts, type ManyResults, type ManyRound, type ManyRow, type ManyVariant } from '../results.js';
import { startS3 } from '../s3.js';
import type { BenchSettings } from '../settings.js';
import type { Workspace } from '../workspace.js';

const TRACE = resolve('tests/fixtures/boot-trace.txt');
const COUNTS = [1, 4, 8];
const VARIANTS: readonly ManyVariant[] = ['fill-off', 'default'];

const cloneName = (index: number): string => `many-${String(index)}`;

export async function runMany(
  workspace: Workspace,
  settings: BenchSettings,
  say: (text: string) => void,
): Promise<ManyResults> {
  const access = await startS3(workspace, settings.cacheFolder);
  const prepared = await prepareImages(workspace, access, settings, say);
  const link = await startRemoteLink(access.endpoint, settings);
  workspace.undoLater(() => link.close());
  await makeClones(workspace, prepared, Math.max(...COUNTS));

  const beganMs = performance.now();
  let rows: readonly ManyRow[] = VARIANTS.flatMap((variant) =>
    COUNTS.map((clones) => ({ clones, variant, rounds: [] })),
  );
  for (let round = 0; round < settings.rounds; round += 1) {
    const next: ManyRow[] = [];
    for (const row of rows) {
      const after = row.failure === undefined ? await addRound(workspace, prepared, link, row) : row;
      next.push(after);
      const last = after.rounds.at(-1);
      const how =
        last === undefined ? 'failed' : `${last.seconds.toFixed(2)} s, ${(last.bytesDown / 1e6).toFixed(1)} MB`;
      say(`${String(row.clones)} at once, ${row.variant}: ${after.failure ?? how}`);
    }
    rows = next;
  }
  return { run: await runFacts(settings, beganMs), rows };
}

async function addRound(workspace: Workspace, prepared: Prepared, link: RemoteLink, row: ManyRow): Promise<ManyRow> {
  try {
    return { ...row, rounds: [...row.rounds, await bootTogether(workspace, prepared, link, row)] };
  } catch (error) {
    return { ...row, failure: failureOf(error) };
  }
}

async function bootTogether(
  workspace: Workspace,
  prepared: Prepared,
  link: RemoteLink,
  { clones, variant }: ManyRow,
): Promise<ManyRound> {
  return workspace.scope(async () => {
    const fill = variant === 'fill-off' ? ['--fill', 'off'] : [];
    if (variant === 'fill-off') await requireMountOption('--fill');
    const access = { ...prepared.access, endpoint: link.url };
    const url = repositoryUrl(prepared.bucket, 'default');
    const mount = await mountOurs(workspace, { url, access }, [...fill, ...(await withoutProfile())]);
    const files = { trace: TRACE, original: prepared.images.small.path, access: 'rw' } as const;
    const replays = [];
    for (let index = 0; index < clones; index += 1) replays.push(await prepareReplay(workspace, files));
    await link.reset();
    const beganAt = monotonicSeconds();
    const times = await Promise.all(
      replays.map((replay, index) => replay.run(join(mount.mountpoint, cloneName(index), 'disk.raw'))),
    );
    const traffic = await link.counts();
    return { seconds: Math.max(...times.map(({ endedAt }) => endedAt)) - beganAt, ...traffic };
  });
}

async function makeClones(workspace: Workspace, prepared: Prepared, count: number): Promise<void> {
  await workspace.scope(async () => {
    const home = workspace.newFolder('home');
    const url = repositoryUrl(prepared.bucket, 'default');
    const list = await lazydisk(['list', url, '--json'], prepared.access, home);
    for (let index = 0; index < count; index += 1) {
      const name = cloneName(index);
      if (list.includes(`"${name}"`)) continue;
      await lazydisk(['clone', url, 'small', name], prepared.access, home);
    }
  });
}
