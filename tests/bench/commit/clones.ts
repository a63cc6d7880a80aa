/** Clone and open of a small and of a very large image, over the slow link: seconds, and memory of the daemon. */
import { randomBytes } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mountOurs } from '../cold/ours.js';
import { controlCommand } from '../control.js';
import { lazydisk } from '../images.js';
import type { RemoteLink } from '../link-process.js';
import { failureOf, type CloneRound, type CloneRow } from '../results.js';
import type { S3Access } from '../s3.js';
import type { Workspace } from '../workspace.js';

interface SizedImage {
  readonly id: string;
  readonly title: string;
  readonly sizeBytes: number;
  readonly dataBytes: number;
}

const GIB = 1024 ** 3;
const TIB = 1024 ** 4;
/** Data stands in extents of this, evenly spread, and repeats after a few: few distinct chunks, many places. */
const EXTENT_BYTES = 4 * 1024 ** 2;
const DISTINCT_EXTENTS = 8;

export async function runClones(
  workspace: Workspace,
  { access, bucket, link }: { access: S3Access; bucket: string; link: RemoteLink },
  { rounds, quick }: { rounds: number; quick: boolean },
  say: (text: string) => void,
): Promise<CloneRow[]> {
  const images: readonly SizedImage[] = [
    { id: 'gib', title: '1 GiB', sizeBytes: GIB, dataBytes: GIB / 4 },
    {
      id: 'tib',
      title: quick ? '1 TiB with 0.25 GiB of data' : '1 TiB with 10 GiB of data',
      sizeBytes: TIB,
      dataBytes: quick ? GIB / 4 : 10 * GIB,
    },
  ];
  const url = `s3://${bucket}/sizes`;
  const home = workspace.newFolder('home');
  await lazydisk(['init', url], access, home);
  const rows: CloneRow[] = [];
  for (const image of images) {
    say(`making the image of ${image.title}`);
    let row: CloneRow = { id: image.id, title: image.title, rounds: [] };
    try {
      const path = join(home, 'sized.raw');
      await makeSparse(path, image);
      await lazydisk(['import', url, path, image.id], access, home);
      await rm(path);
      for (let round = 0; round < rounds; round += 1) {
        const done = await cloneAndOpen(workspace, { url, access: { ...access, endpoint: link.url } }, image);
        row = { ...row, rounds: [...row.rounds, done] };
        const memory = `${(done.openBytes / 1e6).toFixed(0)} MB`;
        say(
          `${image.title}: clone ${done.cloneSeconds.toFixed(3)} s, open ${done.openSeconds.toFixed(3)} s, ${memory}`,
        );
      }
    } catch (error) {
      row = { ...row, failure: failureOf(error) };
      say(`${image.title}: failed: ${failureOf(error)}`);
    }
    rows.push(row);
  }
  return rows;
}

async function makeSparse(path: string, { sizeBytes, dataBytes }: SizedImage): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.truncate(sizeBytes);
    const contents = Array.from({ length: DISTINCT_EXTENTS }, () => randomBytes(EXTENT_BYTES));
    const count = dataBytes / EXTENT_BYTES;
    const step = Math.floor(sizeBytes / count / EXTENT_BYTES) * EXTENT_BYTES;
    for (let index = 0; index < count; index += 1) {
      await file.write(contents[index % DISTINCT_EXTENTS] ?? Buffer.alloc(0), 0, EXTENT_BYTES, index * step);
    }
  } finally {
    await file.close();
  }
}

async function cloneAndOpen(
  workspace: Workspace,
  repository: { url: string; access: S3Access },
  image: SizedImage,
): Promise<CloneRound> {
  return workspace.scope(async () => {
    const mount = await mountOurs(workspace, repository, []);
    const name = `clone-${randomBytes(6).toString('hex')}`;
    const began = performance.now();
    await controlCommand(join(mount.mountpoint, 'control'), `clone ${image.id} ${name}`);
    const cloned = performance.now();
    const bytesBefore = await residentBytes(mount.daemonPid);
    const opening = performance.now();
    const file = await open(join(mount.mountpoint, name, 'disk.raw'), 'r+');
    try {
      // The middle of the disk: its leaf of the tree and one chunk have to come.
      await file.read(Buffer.alloc(4096), 0, 4096, image.sizeBytes / 2);
      const opened = performance.now();
      return {
        cloneSeconds: (cloned - began) / 1000,
        openSeconds: (opened - opening) / 1000,
        openBytes: Math.max(0, (await residentBytes(mount.daemonPid)) - bytesBefore),
      };
    } finally {
      await file.close();
    }
  });
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
