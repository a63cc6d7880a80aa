/**
 * The neighbours that read on demand, each in the set-up in which it was fastest here, plus those that people use as they come.
 *
 * s3backer's own --test mode sleeps on purpose, so it runs against the real server; naming a region would make it put the bucket
 * into the host name. nbdkit 1.32's curl plugin sends one request
 * at a time. rclone without its cache reopens the object at each jump: 114 s and 7 GB for this boot. QEMU's http driver needs qemu-block-extra and a backing file that is nested in a raw node.
 */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { blockPrefix, rawKey, rcloneEnvironment } from '../images.js';
import { isMounted, must, unmountIfMounted, waitUntil } from '../workspace.js';
import type { ColdContext, ColdWay } from './way.js';

const MIB = 1024 * 1024;
const BOTH = ['small', 'large'] as const;

function s3backer(blockBytes: number, options: Pick<ColdWay, 'images' | 'rounds' | 'quick'>): ColdWay {
  const title = `s3backer, blocks of ${sizeName(blockBytes)}`;
  return {
    id: `s3backer-${sizeName(blockBytes).replace(' ', '')}`,
    title,
    kind: 'on-demand',
    access: 'rw',
    needs: ['s3backer'],
    ...options,
    open: async ({ workspace, prepared, image, s3 }) => {
      const mountpoint = workspace.newMountpoint();
      const program = workspace.startProgram('s3backer', [
        ...['-f', '--quiet', '--force', `--accessId=${s3.accessKey}`, `--accessKey=${s3.secretKey}`],
        ...[`--baseURL=${s3.endpoint}/`, `--prefix=${blockPrefix(image.name, blockBytes)}`],
        ...[`--blockSize=${String(blockBytes)}`, `--size=${String(image.sizeBytes)}`],
        ...[prepared.bucket, mountpoint],
      ]);
      workspace.undoLater(() => unmountIfMounted(mountpoint));
      const path = join(mountpoint, 'file');
      await waitUntil(title, () => existsSync(path), { whileAlive: program });
      return path;
    },
  };
}

/** nbdkit behind nbdfuse, with the given filters and their settings. */
function nbdkit(
  id: string,
  title: string,
  filters: readonly string[],
  settings: readonly string[],
  options: Pick<ColdWay, 'images' | 'rounds' | 'quick'>,
): ColdWay {
  return {
    id,
    title,
    kind: 'on-demand',
    access: 'rw',
    needs: ['nbdkit', 'nbdfuse'],
    ...options,
    open: async ({ workspace, image, http }) => {
      const folder = workspace.newFolder('nbdkit');
      const socket = join(folder, 'socket');
      const server = workspace.startProgram(
        'nbdkit',
        [
          ...['-f', '-U', socket, ...filters.map((filter) => `--filter=${filter}`)],
          ...['curl', `url=${http}/${image.name}.raw`, 'protocols=http', ...settings],
        ],
        // Where its filters keep what they fetched.
        { env: { TMPDIR: folder } },
      );
      await waitUntil(title, () => existsSync(socket), { whileAlive: server });
      const mountpoint = workspace.newMountpoint();
      const fuse = workspace.startProgram('nbdfuse', [join(mountpoint, 'disk'), '--unix', socket]);
      workspace.undoLater(() => unmountIfMounted(mountpoint));
      const path = join(mountpoint, 'disk');
      await waitUntil(title, () => existsSync(path), { whileAlive: fuse });
      return path;
    },
  };
}

/** A local qcow2 over an image on a web server, as a file by qemu-storage-daemon's FUSE export. */
function qemuHttp(clusterBytes: number, options: Pick<ColdWay, 'images' | 'rounds' | 'quick'>): ColdWay {
  const title = `QEMU http under qcow2, clusters of ${sizeName(clusterBytes)}, copy on read`;
  return {
    id: `qemu-http-${sizeName(clusterBytes).replace(' ', '')}`,
    title,
    kind: 'on-demand',
    access: 'rw',
    needs: ['qemu-img', 'qemu-storage-daemon'],
    ...options,
    open: async (context: ColdContext) => {
      const { workspace, image, http } = context;
      const folder = workspace.newFolder('qemu');
      const overlay = join(folder, 'overlay.qcow2');
      const url = `${http}/${image.name}.raw`;
      const backing = `json:${JSON.stringify({ driver: 'raw', file: { driver: 'http', url } })}`;
      await must('qemu-img', [
        ...['create', '-q', '-f', 'qcow2', '-u', '-b', backing, '-F', 'raw'],
        ...['-o', `cluster_size=${String(clusterBytes)}`, overlay, String(image.sizeBytes)],
      ]);
      const path = join(folder, 'disk');
      await writeFile(path, '');
      workspace.undoLater(() => unmountIfMounted(path));
      const daemon = workspace.startProgram('qemu-storage-daemon', [
        ...['--blockdev', `driver=file,filename=${overlay},node-name=local,discard=unmap`],
        ...['--blockdev', 'driver=qcow2,file=local,node-name=disk'],
        ...['--blockdev', 'driver=copy-on-read,file=disk,node-name=kept'],
        ...['--export', `type=fuse,id=export,node-name=kept,mountpoint=${path},writable=on`],
      ]);
      await waitUntil(title, () => isMounted(path), { whileAlive: daemon });
      return path;
    },
  };
}

const s3fs: ColdWay = {
  id: 's3fs',
  title: 's3fs, as it comes',
  kind: 'on-demand',
  access: 'ro',
  needs: ['s3fs'],
  images: ['small'],
  rounds: 'first',
  quick: false,
  open: async ({ workspace, prepared, image, s3 }) => {
    const folder = workspace.newFolder('s3fs');
    const passwords = join(folder, 'passwords');
    await writeFile(passwords, `${s3.accessKey}:${s3.secretKey}\n`, { mode: 0o600 });
    const mountpoint = workspace.newMountpoint();
    const program = workspace.startProgram('s3fs', [
      ...[prepared.bucket, mountpoint, '-f', '-o', `url=${s3.endpoint}`, '-o', 'use_path_request_style'],
      ...['-o', `passwd_file=${passwords}`, '-o', 'sigv4', '-o', 'ro', '-o', `tmpdir=${folder}`],
    ]);
    workspace.undoLater(() => unmountIfMounted(mountpoint));
    const path = join(mountpoint, rawKey(image.name));
    await waitUntil('s3fs', async () => (await isMounted(mountpoint)) && existsSync(path), { whileAlive: program });
    return path;
  },
};

const rclone: ColdWay = {
  id: 'rclone',
  title: 'rclone mount with its full cache',
  kind: 'on-demand',
  access: 'rw',
  needs: ['rclone'],
  images: BOTH,
  rounds: 'first',
  quick: false,
  open: async ({ workspace, prepared, image, s3 }) => {
    const mountpoint = workspace.newMountpoint();
    const folder = workspace.newFolder('rclone');
    const program = workspace.startProgram(
      'rclone',
      ['mount', `bench:${prepared.bucket}/raw`, mountpoint, '--vfs-cache-mode', 'full', '--cache-dir', folder],
      { env: rcloneEnvironment(s3) },
    );
    workspace.undoLater(() => unmountIfMounted(mountpoint));
    const path = join(mountpoint, `${image.name}.raw`);
    await waitUntil('rclone', async () => (await isMounted(mountpoint)) && existsSync(path), { whileAlive: program });
    return path;
  },
};

const LARGE_COW = 'cow-block-size=1M';
const LARGE_CACHE = ['cache-min-block-size=1M', 'cache-on-read=true'];

export const NEIGHBOURS: readonly ColdWay[] = [
  s3backer(MIB, { images: BOTH, rounds: 'all', quick: true }),
  s3backer(MIB / 4, { images: ['small'], rounds: 'first', quick: false }),
  nbdkit(
    'nbdkit-cow-cache-1MiB',
    'nbdkit curl, cow and cache, blocks of 1 MiB',
    ['cow', 'cache'],
    [LARGE_COW, ...LARGE_CACHE],
    { images: BOTH, rounds: 'all', quick: true },
  ),
  nbdkit(
    'nbdkit-cow-256KiB',
    'nbdkit curl, cow on read, blocks of 256 KiB',
    ['cow'],
    ['cow-block-size=256K', 'cow-on-read=true'],
    { images: ['small'], rounds: 'first', quick: false },
  ),
  qemuHttp(MIB, { images: BOTH, rounds: 'all', quick: true }),
  qemuHttp(MIB / 16, { images: ['small'], rounds: 'first', quick: false }),
  rclone,
  s3fs,
];

function sizeName(bytes: number): string {
  return bytes >= MIB ? `${String(bytes / MIB)} MiB` : `${String(bytes / 1024)} KiB`;
}
