/**
 * The cold part: the closed-loop replay of a real boot's reads on an image that lies behind a slow link, by every way there is.
 *
 * Rounds are interleaved: each round runs every way once on each image. Nothing is local at the start of a way, and nothing of
 * it is left at its end. A way that fails is a row with its reason, and the run goes on.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { readdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  lazydisk,
  prepareImages,
  repositoryUrl,
  type ImageName,
  type Prepared,
  type PreparedImage,
} from '../images.js';
import { startRemoteLink, type RemoteLink } from '../link-process.js';
import { startRangeServer } from '../range-server.js';
import { monotonicSeconds, prepareReplay } from '../replay.js';
import { failureOf, runFacts, type ColdImage, type ColdResults, type ColdRound, type ColdRow } from '../results.js';
import { startS3 } from '../s3.js';
import type { BenchSettings } from '../settings.js';
import { parseTrace, touchedGrains } from '../trace.js';
import { delay, isInstalled, must, type Workspace } from '../workspace.js';
import { DOWNLOADS, LOCAL } from './downloads.js';
import { NEIGHBOURS } from './neighbours.js';
import { mountOurs, OURS, profiledImage, requireMountOption, verb, withoutProfile } from './ours.js';
import type { ColdContext, ColdWay } from './way.js';

const WAYS: readonly ColdWay[] = [...OURS, ...NEIGHBOURS, ...DOWNLOADS, LOCAL];
const TRACE = resolve('tests/fixtures/boot-trace.txt');
const GRAIN_BYTES = 256 * 1024;
const NOT_WATCHED = { failure: 'only some ways were run' };
/** An idle mount is watched so long. */
const IDLE_SECONDS = 10;

interface Links {
  readonly s3: RemoteLink;
  readonly http: RemoteLink;
}

export async function runCold(
  workspace: Workspace,
  settings: BenchSettings,
  say: (text: string) => void,
): Promise<ColdResults> {
  const access = await startS3(workspace, settings.cacheFolder);
  const prepared = await prepareImages(workspace, access, settings, say);
  const links: Links = {
    s3: await startRemoteLink(access.endpoint, settings),
    http: await startRemoteLink(await startRangeServer(workspace, prepared.folder), settings),
  };
  workspace.undoLater(() => links.s3.close());
  workspace.undoLater(() => links.http.close());
  const images = {
    small: await describeNeed(workspace, prepared.images.small),
    large: await describeNeed(workspace, prepared.images.large),
  };
  const profileFailures = new Map<ImageName, string>();
  for (const image of Object.values(prepared.images)) {
    await recordProfile(workspace, prepared, image).catch((error: unknown) => {
      profileFailures.set(image.name, `no profile of the ${image.name} image: ${failureOf(error)}`);
    });
  }

  const beganMs = performance.now();
  const rows = new Map<string, ColdRow>();
  for (let round = 0; round < settings.rounds; round += 1) {
    for (const name of ['small', 'large'] as const) {
      for (const way of WAYS) {
        if (!way.images.includes(name) || isLeftOut(way, settings)) continue;
        if (round > 0 && way.rounds === 'first') continue;
        const key = `${name} ${way.id}`;
        const before = rows.get(key) ?? { image: name, way: way.id, title: way.title, kind: way.kind, rounds: [] };
        if (before.failure !== undefined) continue;
        const after = await addRound(before, () =>
          measure(way, contextOf(workspace, prepared, links, prepared.images[name], profileFailures.get(name)), links),
        );
        rows.set(key, after);
        say(lineOf(after));
      }
    }
  }
  if (settings.only !== '')
    return { run: await runFacts(settings, beganMs), images, rows: [...rows.values()], idle: NOT_WATCHED };
  const idle = await watchIdle(workspace, prepared, links).catch((error: unknown) => ({ failure: failureOf(error) }));
  return { run: await runFacts(settings, beganMs), images, rows: [...rows.values()], idle };
}

/** A trial run leaves ways out unless they are asked for by name. */
function isLeftOut(way: ColdWay, { quick, only }: BenchSettings): boolean {
  return only === '' ? quick && !way.quick : !way.id.includes(only);
}

async function addRound(row: ColdRow, measureRound: () => Promise<ColdRound>): Promise<ColdRow> {
  try {
    return { ...row, rounds: [...row.rounds, await measureRound()] };
  } catch (error) {
    return { ...row, failure: failureOf(error) };
  }
}

function contextOf(
  workspace: Workspace,
  prepared: Prepared,
  links: Links,
  image: PreparedImage,
  profileFailure?: string,
): ColdContext {
  return {
    ...{ workspace, prepared, image, profileFailure },
    s3: { ...prepared.access, endpoint: links.s3.url },
    http: links.http.url,
  };
}

async function measure(way: ColdWay, context: ColdContext, links: Links): Promise<ColdRound> {
  for (const program of way.needs) {
    if (!(await isInstalled(program))) throw new Error(`${program} is not installed`);
  }
  const { workspace, image } = context;
  return workspace.scope(async () => {
    const replay = await prepareReplay(workspace, { trace: TRACE, original: image.path, access: way.access });
    await way.prepare?.(context);
    await Promise.all([links.s3.reset(), links.http.reset()]);
    const beganAt = monotonicSeconds();
    const times = await replay.run(await way.open(context));
    const [s3, http] = await Promise.all([links.s3.counts(), links.http.counts()]);
    const used = s3.bytesDown > 0 ? s3 : http;
    return {
      openSeconds: times.openedAt - beganAt,
      replaySeconds: times.endedAt - times.openedAt,
      firstReadSeconds: times.firstReadAt - times.openedAt,
      slowestReadSeconds: times.slowestRead,
      ...used,
    };
  });
}

/** What the boot needs of the image at the least: the yardstick of wire bytes and of the profile's time. */
async function describeNeed(workspace: Workspace, image: PreparedImage): Promise<ColdImage> {
  const grains = touchedGrains(parseTrace(await readFile(TRACE, 'utf8')), GRAIN_BYTES);
  const zeros = Buffer.alloc(GRAIN_BYTES);
  return workspace.scope(async () => {
    const folder = join(workspace.newFolder('grains'), 'grains');
    await mkdir(folder);
    const file = await open(image.path, 'r');
    let uniqueBytes = 0;
    try {
      for (const grain of grains) {
        const bytes = Buffer.alloc(GRAIN_BYTES);
        await file.read(bytes, 0, GRAIN_BYTES, grain * GRAIN_BYTES);
        if (bytes.equals(zeros)) continue;
        uniqueBytes += GRAIN_BYTES;
        await writeFile(join(folder, String(grain)), bytes);
      }
    } finally {
      await file.close();
    }
    await must('zstd', ['-q', '--rm', '-r', folder]);
    const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
    const uniqueStoredBytes = sizes.reduce((sum, size) => sum + Math.min(size, GRAIN_BYTES), 0);
    const { sizeBytes, allocatedBytes, zstdBytes } = image;
    return { sizeBytes, allocatedBytes, zstdBytes, uniqueBytes, uniqueStoredBytes };
  });
}

/** Makes a clone of the image and boots it once, so that a profile of that boot is kept with it. */
async function recordProfile(workspace: Workspace, prepared: Prepared, image: PreparedImage): Promise<void> {
  await requireMountOption('--profile');
  const url = repositoryUrl(prepared.bucket, 'default');
  await workspace.scope(async () => {
    const home = workspace.newFolder('home');
    const name = profiledImage(image);
    const list = await lazydisk(['list', url, '--json'], prepared.access, home);
    if (!list.includes(`"${name}"`)) await lazydisk(['clone', url, image.name, name], prepared.access, home);
    const mount = await mountOurs(workspace, { url, access: prepared.access }, []);
    const replay = await prepareReplay(workspace, { trace: TRACE, original: image.path, access: 'rw' });
    await replay.run(join(mount.mountpoint, name, 'disk.raw'));
    await verb(mount, ['profile', 'record', mount.mountpoint, name]);
  });
}

/** What a mount with an open image asks of the store while nobody reads. */
async function watchIdle(workspace: Workspace, prepared: Prepared, links: Links): Promise<ColdResults['idle']> {
  return workspace.scope(async () => {
    const { s3 } = contextOf(workspace, prepared, links, prepared.images.small);
    const url = repositoryUrl(prepared.bucket, 'default');
    const mount = await mountOurs(workspace, { url, access: s3 }, await withoutProfile());
    const file = await open(join(mount.mountpoint, 'small', 'disk.raw'), 'r+');
    try {
      await file.read(randomBytes(4096), 0, 4096, 0);
      // Until the background fill, if there is one, has ended: a second without a request.
      for (let before = -1, now = 0; before !== now;) {
        before = now;
        await delay(1000);
        now = (await links.s3.counts()).bytesDown;
      }
      await links.s3.reset();
      await delay(IDLE_SECONDS * 1000);
      return { seconds: IDLE_SECONDS, traffic: await links.s3.counts() };
    } finally {
      await file.close();
    }
  });
}

function lineOf({ image, title, rounds, failure }: ColdRow): string {
  const last = rounds.at(-1);
  if (failure !== undefined || last === undefined) return `${image}: ${title}: failed: ${failure ?? ''}`;
  const seconds = `${last.openSeconds.toFixed(2)} + ${last.replaySeconds.toFixed(2)} s`;
  return `${image}: ${title}: ${seconds}, ${(last.bytesDown / 1e6).toFixed(1)} MB down`;
}
