/**
 * State directories of other versions, and damaged ones.
 *
 * tests/fixtures/state-v1.tar.gz is frozen: `repository` and `state` as the version before local clones and supervisors left them
 * after an orderly unmount. The image `disk` (1 MiB, chunks of 64 KiB) had been imported, written, punched, grown, given mode 0640 and
 * committed as 2; then 5,000 bytes were written at 300,000 that are in no snapshot.
 */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf, readRange } from '../helpers/contents.js';
import { supports } from '../helpers/driver.js';
import { commit } from '../helpers/images.js';
import { mountRepository, type MountedTest } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { lazydisk, mustLazydisk } from '../helpers/program.js';
import type { TestRepository } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const FIXTURE = resolve('tests/fixtures/state-v1.tar.gz');
const HEAD_SHA256 = 'de594977bdefacce495e378f70cead002a2c7d62647727d595f857579572247e';
const SNAPSHOT_2_SHA256 = 'f1ad198fcf7be1da6ce54ba029d704958cb45bdb3b216c16bbcd71090d215c37';
/** Inode numbers as that version gave them. */
const NODES = { 'disk.raw': 17, '1.raw': 21, '2.raw': 19 };

let repository: TestRepository;
let stateDirectory: string;
beforeEach(async () => {
  const folder = temporaryFolder('older');
  await must('tar', ['-xzSf', FIXTURE, '-C', folder]);
  const inRepository = join(folder, 'repository');
  repository = { kind: 'file', url: `file://${inRepository}`, env: { HOME: folder }, folder: inRepository };
  stateDirectory = join(folder, 'state');
});

const headRecord = (): string =>
  join(stateDirectory, 'heads', readdirSync(join(stateDirectory, 'heads'))[0]!, 'head.json');

/** Every file of the state directory with its checksum. */
function contentsOfState(): Record<string, string> {
  const files = readdirSync(stateDirectory, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(stateDirectory, name)).isFile(),
  );
  return Object.fromEntries(
    files.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(stateDirectory, name)))
        .digest('hex'),
    ]),
  );
}

function setVersion(path: string, stateVersion: number): void {
  const record = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(path, JSON.stringify({ ...record, stateVersion }));
}

async function refusedMount(): Promise<{ status: number | null; stderr: string }> {
  const words = ['mount', repository.url, temporaryFolder('mnt'), '--state', stateDirectory];
  const { status, stderr } = await lazydisk(words, { env: repository.env });
  return { status, stderr };
}

// S3, S11, S20
test('a state directory of an older version goes on: writes, owner, inode numbers, local copies, lock; and its commit', async () => {
  const mounted: MountedTest = await mountRepository({ repository, stateDirectory });
  const head = mounted.path('disk');
  for (const [file, node] of Object.entries(NODES)) expect((await stat(mounted.path('disk', file))).ino).toBe(node);
  expect((await stat(head)).mode & 0o777).toBe(0o640);
  expect(await checksumOf(head)).toBe(HEAD_SHA256);
  expect(await checksumOf(mounted.path('disk', '2.raw'))).toBe(SNAPSHOT_2_SHA256);
  expect(await mounted.imageStatus('disk')).toMatchObject({ baseNumber: 2, dirtyBytes: 8192 });
  expect(await commit(mounted, 'disk')).toMatchObject({ number: 3, changed: true });
  expect(await checksumOf(mounted.path('disk', '3.raw'))).toBe(HEAD_SHA256);
  // What the older version did not know, on what it left.
  const { env } = repository;
  await mustLazydisk(['clone', mounted.mountpoint, 'disk', 'scratch', '--local'], { env });
  expect((await readRange(mounted.path('scratch'), 300_000, 14)).toString()).toBe('in no snapshot');
  if (supports('taking over')) await mustLazydisk(['restart', mounted.mountpoint], { env });
  expect(await checksumOf(head)).toBe(HEAD_SHA256);
  await mounted.unmount();
});

// S71
test('a state directory whose database is damaged is mounted: every write is there, and the log says what may be lost', async () => {
  const database = join(stateDirectory, 'database');
  for (const name of readdirSync(database)) writeFileSync(join(database, name), 'not what it was');
  writeFileSync(join(database, 'settled'), '');
  const mounted = await mountRepository({ repository, stateDirectory });
  expect(await checksumOf(mounted.path('disk'))).toBe(HEAD_SHA256);
  const given = Object.values(NODES);
  expect(given).not.toContain((await stat(mounted.path('disk'))).ino);
  expect(readFileSync(join(stateDirectory, 'daemon.log'), 'utf8')).toContain('No written data is in it');
  expect(await commit(mounted, 'disk')).toMatchObject({ number: 3, changed: true });
  await mounted.unmount();
});

describe('a state directory of a newer version', () => {
  test.each([
    ['by its own record', () => join(stateDirectory, 'state.json'), 2],
    ['by the record of a head', headRecord, 3],
  ] as const)('is refused %s, in one sentence, and left as it was', async (_, file, version) => {
    setVersion(file(), version);
    const before = contentsOfState();
    const { status, stderr } = await refusedMount();
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /^lazydisk: .* by a newer lazydisk \(state version \d, this one knows \d\): use that version\.\n$/,
    );
    const after = contentsOfState();
    for (const name of Object.keys(before).filter((each) => each.startsWith('heads')))
      expect({ name, sha256: after[name] }).toEqual({ name, sha256: before[name] });
  });
});
