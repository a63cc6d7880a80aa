/** Two trees of files compared by all that a tar can say of them, and a file system in a file looked at as a guest would. */
import { expect } from '@jest/globals';
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { must } from './processes.js';
import { temporaryFolder } from './temporary.js';

/** `expected` and `found` have the same names, contents, owners, modes, times (seconds), devices, links of both kinds and attributes. */
export async function expectSameTree(found: string, expected: string): Promise<void> {
  const [left, right] = [await fingerprint(found), await fingerprint(expected)];
  // First what a person can read.
  expect(left.listing).toEqual(right.listing);
  expect(left.hash).toBe(right.hash);
}

/** Mounts the ext4 in `raw`, read-only, while `use` looks at it. */
export async function withMounted<T>(raw: string, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(temporaryFolder('mounted-raw'), 'mnt');
  mkdirSync(folder);
  await must('mount', ['-t', 'ext4', '-o', 'loop,ro', raw, folder]);
  try {
    return await use(folder);
  } finally {
    await must('umount', [folder]);
  }
}

async function fingerprint(tree: string): Promise<{ listing: string[]; hash: string }> {
  const folder = mkdtempSync(join(temporaryFolder('trees'), 'tar-'));
  const archive = join(folder, 'tree.tar');
  const names = readdirSync(tree)
    .filter((name) => name !== 'lost+found')
    .sort();
  const all = ['--xattrs', '--xattrs-include=*', '--numeric-owner'];
  // The same tree makes the same bytes. mke2fs keeps whole seconds.
  const stable = [
    '--sort=name',
    '--format=posix',
    '--pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime,delete=mtime',
  ];
  await must('tar', ['-C', tree, ...all, ...stable, '-cf', archive, '--', ...names]);
  const listing = await must('tar', [...all, '--full-time', '-tvvf', archive]);
  const hash = createHash('sha256');
  for await (const piece of createReadStream(archive)) hash.update(piece as Buffer);
  rmSync(folder, { recursive: true });
  return { listing: listing.split('\n'), hash: hash.digest('hex') };
}
