/**
 * Commits of what was written to a head whose base is wholly local, beside a plain upload of the bytes that they sent; and what a
 * concurrent writer feels. The command goes through the control file, so that no program's start is in the time.
 */
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { controlCommand } from '../control.js';
import { mountOurs, verb, type OurMount } from '../cold/ours.js';
import { fio } from '../fio.js';
import type { RemoteLink } from '../link-process.js';
import { failureOf, type CommitRound, type CommitRow } from '../results.js';
import type { S3Access } from '../s3.js';
import { delay, must, type Workspace } from '../workspace.js';
import { plainUploadSeconds } from './plain-upload.js';

/** Sizes of a run. */
export interface CommitSizes {
  readonly imageBytes: number;
  readonly dirtyBytes: number;
  readonly writerSeconds: number;
}

/** A mount with a head that is wholly local and clean. */
interface Bench {
  readonly mount: OurMount;
  readonly access: S3Access;
  readonly bucket: string;
  readonly image: string;
  readonly sizes: CommitSizes;
}

const BLOCK_BYTES = 4096;
const RUN_BLOCK_BYTES = 1024 * 1024;
/** The concurrent writer: four in five of its writes meet no other, as those of a guest that is not a benchmark. */
const WRITER = { rate: 500, sizeBytes: 16 * 1024 * 1024 };
/** The writer's normal life before the commit begins. */
const LEAD_MS = 1000;

export async function runCommits(
  workspace: Workspace,
  { access, bucket, link }: { access: S3Access; bucket: string; link: RemoteLink },
  sizes: CommitSizes,
  rounds: number,
  say: (text: string) => void,
): Promise<CommitRow[]> {
  const rows = new Map<string, CommitRow>();
  const add = async (id: string, title: string, round: () => Promise<CommitRound>): Promise<void> => {
    const before = rows.get(id) ?? { id, title, dirtyBytes: sizes.dirtyBytes, rounds: [] };
    if (before.failure !== undefined) return;
    try {
      const done = await round();
      rows.set(id, { ...before, rounds: [...before.rounds, done] });
      const plain = `plain upload ${done.plainSeconds.toFixed(2)} s`;
      say(`${title}: ${done.seconds.toFixed(2)} s, ${(done.bytesUp / 1e6).toFixed(0)} MB up, ${plain}`);
    } catch (error) {
      rows.set(id, { ...before, failure: failureOf(error) });
      say(`${title}: failed: ${failureOf(error)}`);
    }
  };
  const overLink = { ...access, endpoint: link.url };
  const near = await prepareHead(workspace, { access, bucket, image: 'near', sizes });
  const far = await prepareHead(workspace, { access: overLink, bucket, image: 'far', sizes });
  for (let round = 0; round < rounds; round += 1) {
    await add('run', 'one run of writes', () => commitRun(near));
    await add('scattered', 'scattered 4 KiB writes', () => commitScattered(near));
    await add('writer', 'one run of writes, beside a writer', () => commitBesideWriter(near));
    await add('run-link', 'one run of writes, over the link', () => commitRun(far));
    if (round === 0) await add('scattered-link', 'scattered 4 KiB writes, over the link', () => commitScattered(far));
  }
  return [...rows.values()];
}

/** Commits the head of an image; also for a guest's run. */
export async function timeCommit(mount: OurMount, image: string): Promise<Omit<CommitRound, 'plainSeconds'>> {
  const before = await storeRequests(mount);
  const began = performance.now();
  const result = await controlCommand(join(mount.mountpoint, image, 'control'), 'commit');
  const seconds = (performance.now() - began) / 1000;
  const { uploadedBytes } = result as { uploadedBytes: number };
  return { seconds, bytesUp: uploadedBytes, requests: (await storeRequests(mount)) - before };
}

async function storeRequests(mount: OurMount): Promise<number> {
  const status = JSON.parse(await readFile(join(mount.mountpoint, 'status'), 'utf8')) as { storeRequests: number };
  return status.storeRequests;
}

async function prepareHead(
  workspace: Workspace,
  { access, bucket, image, sizes }: Omit<Bench, 'mount'>,
): Promise<Bench> {
  const mount = await mountOurs(workspace, { url: `s3://${bucket}/lab`, access }, []);
  const folder = join(mount.mountpoint, image);
  await mkdir(folder);
  const disk = join(folder, 'disk.raw');
  const file = await open(disk, 'w');
  await file.truncate(sizes.imageBytes);
  await file.close();
  await fio({ ...job(disk), rw: 'write', blockBytes: RUN_BLOCK_BYTES, depth: 4, sizeBytes: sizes.imageBytes });
  await verb(mount, ['commit', mount.mountpoint, image]);
  return { mount, access, bucket, image, sizes };
}

const job = (path: string): { path: string; direct: true; newBytes: true } => ({ path, direct: true, newBytes: true });
const diskOf = ({ mount, image }: Bench): string => join(mount.mountpoint, image, 'disk.raw');

async function dirtyRun(bench: Bench): Promise<void> {
  const { dirtyBytes } = bench.sizes;
  await fio({ ...job(diskOf(bench)), rw: 'write', blockBytes: RUN_BLOCK_BYTES, depth: 4, sizeBytes: dirtyBytes });
  await must('sync', [diskOf(bench)]);
}

async function commitRun(bench: Bench): Promise<CommitRound> {
  await dirtyRun(bench);
  return withPlain(bench, await timeCommit(bench.mount, bench.image));
}

/** Each block once at most, all over the image. */
async function commitScattered(bench: Bench): Promise<CommitRound> {
  const { imageBytes, dirtyBytes } = bench.sizes;
  const size = { blockBytes: BLOCK_BYTES, depth: 16, sizeBytes: imageBytes, totalBytes: dirtyBytes };
  await fio({ ...job(diskOf(bench)), rw: 'randwrite', ...size });
  await must('sync', [diskOf(bench)]);
  return withPlain(bench, await timeCommit(bench.mount, bench.image));
}

async function withPlain(bench: Bench, done: Omit<CommitRound, 'plainSeconds'>): Promise<CommitRound> {
  return { ...done, plainSeconds: await plainUploadSeconds(bench.access, bench.bucket, done.bytesUp) };
}

/** The slowest write of a writer while a commit runs, and while none does. */
async function commitBesideWriter(bench: Bench): Promise<CommitRound> {
  const writer = (): Promise<{ slowestMs: number }> =>
    fio({
      ...job(diskOf(bench)),
      ...{ rw: 'randwrite', blockBytes: BLOCK_BYTES, depth: 1, seconds: bench.sizes.writerSeconds, ...WRITER },
    });
  const { slowestMs: tailMs } = await writer();
  await verb(bench.mount, ['commit', bench.mount.mountpoint, bench.image]);
  await dirtyRun(bench);
  const beside = writer();
  await delay(LEAD_MS);
  const done = await timeCommit(bench.mount, bench.image);
  const { slowestMs: stallMs } = await beside;
  // What the writer wrote since goes up now, so that the next round begins clean.
  await verb(bench.mount, ['commit', bench.mount.mountpoint, bench.image]);
  return { ...(await withPlain(bench, done)), stallMs, tailMs };
}
