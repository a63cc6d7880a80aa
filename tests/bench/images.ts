/**
 * The two images of the cold part, in every form in which somebody serves them. All of it is made once and kept.
 *
 *   small   the guest of tests/tools/make-guest.sh: 2 GiB, a third of a GiB allocated
 *   large   the same guest, its file system grown and filled with files that nothing compresses; made without a boot
 *
 * Forms: the raw file and its zstd in a folder (for HTTP); in the bucket the raw object (rclone, s3fs), one object per block
 * (s3backer), and lazydisk's repositories.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { forEachAtOnce } from './parallel.js';
import { lazydiskEnvironment, plainClient, type PlainClient, type S3Access } from './s3.js';
import { lazydiskProgram, type BenchSettings } from './settings.js';
import { isInstalled, must, run, type Workspace } from './workspace.js';

export type ImageName = 'small' | 'large';

export interface PreparedImage {
  readonly name: ImageName;
  /** The raw file. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly zstdBytes: number;
}

/** The bucket with every form of both images. */
export interface Prepared {
  readonly access: S3Access;
  readonly bucket: string;
  /** Folder of raw and zstd files, `<name>.raw` and `<name>.raw.zst`. */
  readonly folder: string;
  readonly images: Readonly<Record<ImageName, PreparedImage>>;
}

/** Key of the raw object. */
export const rawKey = (name: ImageName): string => `raw/${name}.raw`;
/** Prefix of s3backer's blocks of this size. */
export const blockPrefix = (name: ImageName, blockBytes: number): string => `blocks-${name}-${String(blockBytes)}-`;
/** lazydisk's repository: with the defaults, or (`none`) without compression. */
export const repositoryUrl = (bucket: string, compression: 'default' | 'none'): string =>
  `s3://${bucket}/lazydisk-${compression}-${buildFingerprint()}`;

const PARTITION_OFFSET = 1024 * 1024;
const FILE_COUNT = 64;

/** Makes what is missing. `say` is told what takes long. */
export async function prepareImages(
  workspace: Workspace,
  access: S3Access,
  settings: BenchSettings,
  say: (text: string) => void,
): Promise<Prepared> {
  const folder = join(settings.cacheFolder, settings.quick ? 'images-quick' : 'images');
  await mkdir(folder, { recursive: true });
  const small = join(folder, 'small.raw');
  const large = join(folder, 'large.raw');
  const guest = resolve('.cache/guest/guest.raw');
  if (!existsSync(guest)) {
    say('building the guest');
    await must('tests/tools/make-guest.sh', [guest], { env: { CACHE: resolve('.cache/guest') } });
  }
  // The guest may be built anew by others; the images of a comparison stay.
  if (!existsSync(small)) await copySparse(guest, small);
  if (!existsSync(large)) {
    say('making the large image');
    await makeLarge(workspace, small, large, settings.quick ? 256 * 1024 ** 2 : 4 * 1024 ** 3);
  }
  const images = { small: await describe('small', small, say), large: await describe('large', large, say) };

  const bucket = `bench-${fingerprintOf([small, large].map((path) => String(statSync(path).mtimeMs)))}`;
  const client = plainClient(access);
  try {
    if (!(await client.exists(bucket, ''))) await client.makeBucket(bucket);
    const once = (name: string, work: () => Promise<void>): Promise<void> => doOnce(client, bucket, name, say, work);
    for (const image of Object.values(images)) await uploadForms(workspace, { access, bucket, client, once }, image);
  } finally {
    client.close();
  }
  return { access, bucket, folder, images };
}

/** The command line of lazydisk, to the server itself and not over the link. Resolves to its stdout. */
export async function lazydisk(
  args: readonly string[],
  access: S3Access,
  home: string,
  timeoutMs = 600_000,
): Promise<string> {
  return must(process.execPath, [lazydiskProgram(), ...args], { env: lazydiskEnvironment(access, home), timeoutMs });
}

interface Upload {
  readonly access: S3Access;
  readonly bucket: string;
  readonly client: PlainClient;
  readonly once: (name: string, work: () => Promise<void>) => Promise<void>;
}

async function uploadForms(workspace: Workspace, upload: Upload, image: PreparedImage): Promise<void> {
  const { access, bucket, client, once } = upload;
  const { name, path, sizeBytes } = image;
  const blockSizes = name === 'small' ? [1024 ** 2, 256 * 1024] : [1024 ** 2];
  for (const blockBytes of blockSizes) {
    const prefix = blockPrefix(name, blockBytes);
    await once(prefix, () => uploadBlocks(client, bucket, prefix, path, sizeBytes, blockBytes));
  }
  const repositories = name === 'small' ? (['default', 'none'] as const) : (['default'] as const);
  for (const compression of repositories) {
    const url = repositoryUrl(bucket, compression);
    await once(`${url.replace(/.*\//, '')}/${name}`, () =>
      workspace.scope(async () => {
        await purgeOlderRepositories(access, bucket);
        const home = workspace.newFolder('home');
        const help = await lazydisk(['init', '--help'], access, home);
        const options = compression === 'none' && help.includes('--compression') ? ['--compression', 'none'] : [];
        const { status } = await run(process.execPath, [lazydiskProgram(), 'list', url], {
          env: lazydiskEnvironment(access, home),
        });
        if (status !== 0) await lazydisk(['init', url, ...options], access, home);
        await lazydisk(['import', url, path, name], access, home);
      }),
    );
  }
  await once(`raw-${name}`, async () => {
    const remote = rcloneEnvironment(access);
    const speed = ['--s3-chunk-size', '64M', '--s3-upload-concurrency', '4', '--s3-no-check-bucket'];
    await must('rclone', ['copyto', ...speed, path, `bench:${bucket}/${rawKey(name)}`], {
      env: remote,
      timeoutMs: 900_000,
    });
  }).catch((error: unknown) => {
    // Only rclone and s3fs need it, and they say so when they find nothing.
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  });
}

/** rclone's remote `bench:`, as it wants it in the environment, and nothing of the person who runs this. */
export function rcloneEnvironment(access: S3Access): Record<string, string | undefined> {
  return {
    AWS_CA_BUNDLE: undefined,
    AWS_PROFILE: undefined,
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_BENCH_TYPE: 's3',
    RCLONE_CONFIG_BENCH_PROVIDER: 'Ceph',
    RCLONE_CONFIG_BENCH_ENDPOINT: access.endpoint,
    RCLONE_CONFIG_BENCH_ACCESS_KEY_ID: access.accessKey,
    RCLONE_CONFIG_BENCH_SECRET_ACCESS_KEY: access.secretKey,
    RCLONE_CONFIG_BENCH_REGION: 'us-east-1',
  };
}

/** Does something whose result is kept in the bucket, unless a marker says that it was done. */
async function doOnce(
  client: PlainClient,
  bucket: string,
  name: string,
  say: (text: string) => void,
  work: () => Promise<void>,
): Promise<void> {
  const marker = `done/${name}`;
  if (await client.exists(bucket, marker)) return;
  say(`uploading ${name}`);
  await work();
  await client.put(bucket, marker, new Uint8Array());
}

/** Repositories of other formats would fill the server, four GiB each time that the format's code changes. */
async function purgeOlderRepositories(access: S3Access, bucket: string): Promise<void> {
  if (!(await isInstalled('rclone'))) return;
  const env = rcloneEnvironment(access);
  for (const folder of ['', 'done/']) {
    const { stdout } = await run('rclone', ['lsf', '--dirs-only', `bench:${bucket}/${folder}`], { env });
    for (const name of stdout.split('\n')) {
      if (!name.startsWith('lazydisk-') || name.endsWith(`-${buildFingerprint()}/`)) continue;
      await must('rclone', ['purge', `bench:${bucket}/${folder}${name}`], { env });
    }
  }
}

/** One object per block that is not zero, named as s3backer names them. */
async function uploadBlocks(
  client: PlainClient,
  bucket: string,
  prefix: string,
  path: string,
  sizeBytes: number,
  blockBytes: number,
): Promise<void> {
  const file = await open(path, 'r');
  try {
    const zeros = Buffer.alloc(blockBytes);
    const numbers = Array.from({ length: Math.ceil(sizeBytes / blockBytes) }, (_, number) => number);
    await forEachAtOnce(numbers, 8, async (number) => {
      const block = Buffer.alloc(blockBytes);
      await file.read(block, 0, blockBytes, number * blockBytes);
      if (block.equals(zeros)) return;
      await client.put(bucket, `${prefix}${number.toString(16).padStart(8, '0')}`, block);
    });
  } finally {
    await file.close();
  }
}

async function describe(name: ImageName, path: string, say: (text: string) => void): Promise<PreparedImage> {
  const compressed = `${path}.zst`;
  if (!existsSync(compressed)) {
    say(`compressing ${name}`);
    await must('zstd', ['-q', '-T0', '-f', path, '-o', `${compressed}.tmp`]);
    await rename(`${compressed}.tmp`, compressed);
  }
  const { size, blocks } = statSync(path);
  return { name, path, sizeBytes: size, allocatedBytes: blocks * 512, zstdBytes: statSync(compressed).size };
}

/** Grows the guest's file system and fills it with files of random bytes. */
async function makeLarge(workspace: Workspace, small: string, large: string, addedBytes: number): Promise<void> {
  const draft = `${large}.tmp`;
  await copySparse(small, draft);
  // The file system needs room of its own for what describes the files.
  await must('truncate', ['-s', `+${String(addedBytes + addedBytes / 8)}`, draft]);
  await must('sfdisk', ['-q', '--no-reread', '-N', '1', draft], { input: ', +\n' });
  await workspace.scope(async () => {
    const device = (await must('losetup', ['--show', '-f', '-o', String(PARTITION_OFFSET), draft])).trim();
    workspace.undoLater(() => must('losetup', ['-d', device]));
    // resize2fs wants a check first; 1 says that something was put right.
    const { status, stdout } = await run('e2fsck', ['-fp', device]);
    if (status === null || status > 1) throw new Error(`e2fsck: ${stdout}`);
    await must('resize2fs', [device]);
    const mountpoint = workspace.newMountpoint();
    await must('mount', [device, mountpoint]);
    const fileBytes = Math.floor(addedBytes / FILE_COUNT);
    const write =
      'for i in $(seq "$1"); do head -c "$2" /dev/urandom >"$3/srv/file-$i" || exit 1; done; sync -f "$3/srv"';
    await must('bash', ['-c', write, '-', String(FILE_COUNT), String(fileBytes), mountpoint]);
  });
  await rename(draft, large);
}

async function copySparse(from: string, to: string): Promise<void> {
  await must('cp', ['--sparse=always', from, `${to}.tmp`]);
  await rename(`${to}.tmp`, to);
}

/** Changes when the code that writes repositories does, so that a bucket never serves an older format's images. */
function buildFingerprint(): string {
  const files = ['format', 'repository'].flatMap((room) => {
    const folder = resolve('lib', room);
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .sort()
      .map((name) => readFileSync(join(folder, name), 'utf8'));
  });
  return fingerprintOf(files);
}

function fingerprintOf(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').slice(0, 12);
}
