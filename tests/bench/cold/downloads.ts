/** What a user can do without any of this: fetch the whole image first. And the floor: a file that is already there. */
import { open } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import type { ImageName } from '../images.js';
import { forEachAtOnce } from '../parallel.js';
import { must } from '../workspace.js';
import type { ColdWay } from './way.js';

const RANGE_BYTES = 8 * 1024 * 1024;
const AT_ONCE = 8;

/** The large image takes so long that one round has to do. */
function downloadZstd(image: ImageName, rounds: ColdWay['rounds']): ColdWay {
  return {
    id: 'download-zstd',
    title: 'download compressed with zstd, unpack sparsely, then local',
    kind: 'download',
    access: 'rw',
    needs: ['curl', 'zstd'],
    images: [image],
    rounds,
    quick: true,
    open: async ({ workspace, http: server }) => {
      const path = join(workspace.newFolder('download'), 'disk.raw');
      const command = 'set -o pipefail; curl -sSf "$1" | zstd -q -d --sparse -o "$2"';
      await must('bash', ['-c', command, '-', `${server}/${image}.raw.zst`, path]);
      return path;
    },
  };
}

export const DOWNLOADS: readonly ColdWay[] = [
  downloadZstd('small', 'all'),
  downloadZstd('large', 'first'),
  {
    id: 'download-ranges',
    title: `download in ${String(AT_ONCE)} parallel ranges, then local`,
    kind: 'download',
    access: 'rw',
    needs: [],
    images: ['small', 'large'],
    rounds: 'first',
    quick: false,
    open: async ({ workspace, image, http: server }) => {
      const path = join(workspace.newFolder('download'), 'disk.raw');
      await downloadInRanges(`${server}/${image.name}.raw`, path, image.sizeBytes);
      return path;
    },
  },
];

export const LOCAL: ColdWay = {
  id: 'local',
  title: 'a raw file that is already there',
  kind: 'local',
  access: 'rw',
  needs: [],
  images: ['small', 'large'],
  rounds: 'all',
  quick: true,
  open: ({ image }) => Promise.resolve(image.path),
};

async function downloadInRanges(url: string, path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'w');
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
  try {
    await file.truncate(sizeBytes);
    const starts = Array.from({ length: Math.ceil(sizeBytes / RANGE_BYTES) }, (_, index) => index * RANGE_BYTES);
    await forEachAtOnce(starts, AT_ONCE, async (start) => {
      const end = Math.min(start + RANGE_BYTES, sizeBytes) - 1;
      let at = start;
      for await (const piece of await get(url, `bytes=${String(start)}-${String(end)}`, agent)) {
        const bytes = piece as Buffer;
        await file.write(bytes, 0, bytes.length, at);
        at += bytes.length;
      }
      if (at !== end + 1) throw new Error(`${url}: ${String(at - start)} bytes at ${String(start)}`);
    });
  } finally {
    agent.destroy();
    await file.close();
  }
}

async function get(url: string, range: string, agent: http.Agent): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    http.get(url, { agent, headers: { range } }, resolve).on('error', reject);
  });
}
