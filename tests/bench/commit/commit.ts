/**
 * The part "commit and clone": what goes up, beside a plain parallel upload of as many bytes to the same server.
 *
 * Rates are measured without the link first of all: there the upload is only as good as its code, since the server is as near as
 * it can be. All of it lives in a bucket of its own that is emptied at the end.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { mountOurs } from '../cold/ours.js';
import { lazydisk, prepareImages, rcloneEnvironment, repositoryUrl, type Prepared } from '../images.js';
import { startRemoteLink } from '../link-process.js';
import { failureOf, runFacts, type CommitResults, type CommitRow } from '../results.js';
import { plainClient, startS3, type S3Access } from '../s3.js';
import type { BenchSettings } from '../settings.js';
import { must, type Workspace } from '../workspace.js';
import { runClones } from './clones.js';
import { runCommits, timeCommit, type CommitSizes } from './commits.js';
import { plainUploadOfFile, plainUploadSeconds } from './plain-upload.js';

const MIB = 1024 ** 2;
const SIZES: CommitSizes = { imageBytes: 1024 * MIB, dirtyBytes: 256 * MIB, writerSeconds: 6 };
const QUICK_SIZES: CommitSizes = { imageBytes: 128 * MIB, dirtyBytes: 32 * MIB, writerSeconds: 3 };

export async function runCommit(
  workspace: Workspace,
  settings: BenchSettings,
  say: (text: string) => void,
): Promise<CommitResults> {
  const access = await startS3(workspace, settings.cacheFolder);
  const prepared = await prepareImages(workspace, access, settings, say);
  const link = await startRemoteLink(access.endpoint, settings);
  workspace.undoLater(() => link.close());
  const beganMs = performance.now();
  const bucket = await newBucket(workspace, access);
  await lazydisk(['init', `s3://${bucket}/lab`], access, workspace.newFolder('home'));

  const place = { access, bucket, link };
  const imports = await runImports(workspace, prepared, { access, bucket }, settings, say);
  const sizes = settings.quick ? QUICK_SIZES : SIZES;
  const commits = await workspace.scope(() => runCommits(workspace, place, sizes, settings.rounds, say));
  if (!settings.quick) commits.push(await commitGuestRun(workspace, prepared, bucket, say));
  const clones = await workspace.scope(() => runClones(workspace, place, settings, say));
  return { run: await runFacts(settings, beganMs), commits, imports, clones };
}

async function newBucket(workspace: Workspace, access: S3Access): Promise<string> {
  const bucket = `bench-commit-${randomBytes(6).toString('hex')}`;
  const client = plainClient(access);
  await client.makeBucket(bucket);
  client.close();
  workspace.undoLater(() => must('rclone', ['purge', `bench:${bucket}`], { env: rcloneEnvironment(access) }));
  return bucket;
}

/** Import of the guest, the whole command, beside a plain upload of its allocated bytes. */
async function runImports(
  workspace: Workspace,
  prepared: Prepared,
  { access, bucket }: { access: S3Access; bucket: string },
  { rounds }: BenchSettings,
  say: (text: string) => void,
): Promise<CommitRow[]> {
  const { path, allocatedBytes } = prepared.images.small;
  let row: CommitRow = { id: 'import', title: 'import of the guest', dirtyBytes: allocatedBytes, rounds: [] };
  for (let round = 0; round < rounds && row.failure === undefined; round += 1) {
    try {
      // A repository of its own each time: in an old one every chunk would be known.
      const url = `s3://${bucket}/import-${String(round)}`;
      const home = workspace.newFolder('home');
      await lazydisk(['init', url], access, home);
      const began = performance.now();
      const said = await lazydisk(['import', url, path, 'guest', '--json'], access, home);
      const seconds = (performance.now() - began) / 1000;
      const { uploadedBytes } = JSON.parse(said) as { uploadedBytes: number };
      const { seconds: plainSeconds, bytes } = await plainUploadOfFile(access, bucket, path);
      const done = { seconds, plainSeconds, bytesUp: uploadedBytes, requests: 0 };
      row = { ...row, dirtyBytes: bytes, rounds: [...row.rounds, done] };
      say(`import: ${seconds.toFixed(2)} s, plain upload ${plainSeconds.toFixed(2)} s`);
    } catch (error) {
      row = { ...row, failure: failureOf(error) };
      say(`import: failed: ${failureOf(error)}`);
    }
  }
  return [row];
}

/** What a real guest wrote in its life: a boot, its scripted work, its trim, its power-off. */
async function commitGuestRun(
  workspace: Workspace,
  prepared: Prepared,
  bucket: string,
  say: (text: string) => void,
): Promise<CommitRow> {
  const row = { id: 'guest', title: "a real guest's run", dirtyBytes: 0, rounds: [] };
  try {
    return await workspace.scope(async () => {
      say('booting the guest');
      const url = repositoryUrl(prepared.bucket, 'default');
      const image = `run-${randomBytes(4).toString('hex')}`;
      await lazydisk(['clone', url, 'small', image], prepared.access, workspace.newFolder('home'));
      const mount = await mountOurs(workspace, { url, access: prepared.access }, []);
      const drive = `file=${join(mount.mountpoint, image, 'disk.raw')},format=raw,if=virtio,cache=none,aio=native,discard=unmap`;
      const console = await must(
        'qemu-system-x86_64',
        [
          ...['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', '512', '-nographic', '-no-reboot', '-nic', 'none'],
          ...['-drive', drive],
        ],
        { timeoutMs: 240_000 },
      );
      if (!console.includes('GUEST-DONE ok')) throw new Error('the guest did not say that it was done');
      const status = JSON.parse(await must('cat', [join(mount.mountpoint, image, 'status')])) as { dirtyBytes: number };
      const done = await timeCommit(mount, image);
      const plainSeconds = await plainUploadSeconds(prepared.access, bucket, done.bytesUp);
      say(`${row.title}: ${done.seconds.toFixed(2)} s, plain upload ${plainSeconds.toFixed(2)} s`);
      return { ...row, dirtyBytes: status.dirtyBytes, rounds: [{ ...done, plainSeconds }] };
    });
  } catch (error) {
    say(`${row.title}: failed: ${failureOf(error)}`);
    return { ...row, failure: failureOf(error) };
  }
}
