/** What lazydisk needs of the disk that local writes and fetched chunks are kept on. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { fallocate, seekHole } from '../../../lib/util/syscalls.js';
import { checkPlacement, nearestExisting } from '../../service/state-directory.js';
import { formatSize } from '../sizes.js';
import { failed, fail, ok, warn, type Finding } from './finding.js';

const STEP_BYTES = 64 * 1024;
/** Below these a guest that writes, or a cache that is to be of use, soon meets the end of the disk. */
const SCARCE_BYTES = 5 * 1024 ** 3;
const SCARCE_SHARE = 0.1;
const TOO_FEW_BYTES = 256 * 1024 * 1024;

/** `folder` need not exist; then it will be made, and the one above it is looked at. */
export async function stateFindings(folder: string): Promise<Finding[]> {
  const check = 'state folder';
  const existing = await nearestExisting(folder);
  const findings: Finding[] = [];
  try {
    await checkPlacement(folder, { mountpoint: null, force: false });
    await requireHoles(existing);
    findings.push(ok(check, `${folder}: on a disk, with holes`));
  } catch (error) {
    findings.push(failed(check, error));
  }
  const { bavail, blocks, bsize } = await statfs(existing);
  return [...findings, spaceFinding(bavail * bsize, blocks * bsize)];
}

export function spaceFinding(freeBytes: number, totalBytes: number): Finding {
  const check = 'free space';
  const found = `${formatSize(freeBytes)} of ${formatSize(totalBytes)}`;
  if (freeBytes < TOO_FEW_BYTES) return fail(check, found, 'Make room, or choose another disk with --state.');
  if (freeBytes >= SCARCE_BYTES && freeBytes >= totalBytes * SCARCE_SHARE) return ok(check, found);
  return warn(
    check,
    found,
    'What guests write is kept here until it is committed: make room, or choose another disk with --state.',
  );
}

/** Throws what the file system says when it can't make or find holes, or may not be written to. */
async function requireHoles(folder: string): Promise<void> {
  const own = await mkdtemp(join(folder, '.lazydisk-doctor-'));
  try {
    const descriptor = openSync(join(own, 'holes'), 'w+');
    try {
      writeSync(descriptor, new Uint8Array(3 * STEP_BYTES).fill(1));
      fallocate(descriptor, 'punch-hole', STEP_BYTES, STEP_BYTES);
      const hole = seekHole(descriptor, 0);
      if (hole !== STEP_BYTES) {
        throw new Error(
          `The file system of ${folder} does not tell where files have holes: choose another disk with --state.`,
        );
      }
    } finally {
      closeSync(descriptor);
    }
  } finally {
    await rm(own, { recursive: true });
  }
}
