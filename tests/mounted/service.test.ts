import { beforeEach, describe, expect, test } from '@jest/globals';
import { mkdir, open, readdir, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { testDriver } from '../helpers/driver.js';
import { repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository, type MountedTest } from '../helpers/mounts.js';
import { isAlive, must, run, start } from '../helpers/processes.js';
import { lazydisk, lazydiskJson, mustLazydisk } from '../helpers/program.js';
import { createRepository } from '../helpers/repositories.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

/** Each line of the daemon's log. */
async function log(mounted: MountedTest): Promise<{ level: string; message: string; error?: { message: string } }[]> {
  const text = await readFile(join(mounted.stateDirectory, 'daemon.log'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { level: string; message: string });
}

async function hasEnded(mounted: MountedTest): Promise<void> {
  await waitFor('the daemon has ended', () => !isAlive(mounted.daemonPid));
  expect(await mountpointsUnder(mounted.mountpoint)).toEqual([]);
  expect(await readdir(mounted.stateDirectory)).not.toContain('control.sock');
  // Those of other mounts come and go.
  const entries = await Promise.all(
    (await readdir('/run/lazydisk')).map((name) => readFile(join('/run/lazydisk', name), 'utf8').catch(() => '')),
  );
  expect(entries.filter((text) => text.includes(mounted.mountpoint))).toEqual([]);
}

describe('a mount', () => {
  let mounted: MountedTest;
  let name: string;
  beforeEach(async () => {
    const made = await repositoryWithImage('file');
    name = made.name;
    mounted = await mountRepository({ repository: made.repository });
  });

  test('is not mounted twice, and says so', async () => {
    const words = ['mount', mounted.repository.url, mounted.mountpoint, '--state', mounted.stateDirectory];
    expect(await mustLazydisk(words, { env: mounted.repository.env })).toContain('already');
    const other = await createRepository('file');
    const { status, stderr } = await lazydisk(['mount', other.url, mounted.mountpoint], { env: other.env });
    expect({ status, stderr }).toMatchObject({ status: 4, stderr: expect.stringContaining('unmount it first') });
  });

  test('has its state directory alone: a second one is refused at once and says who has it', async () => {
    const mountpoint = join(temporaryFolder('second'), 'mnt');
    await mkdir(mountpoint);
    const words = ['mount', mounted.repository.url, mountpoint, '--state', mounted.stateDirectory, '--json'];
    const { status, stdout, stderr } = await lazydisk(words, { env: mounted.repository.env });
    expect({ status, stdout }).toEqual({ status: 4, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'BUSY', facts: { mountpoint: mounted.mountpoint, pid: mounted.daemonPid } },
    });
    expect(await mountpointsUnder(mountpoint)).toEqual([]);
  });

  test('tells its status, and its files are its owner’s alone', async () => {
    expect(await mounted.status()).toMatchObject({
      schemaVersion: 1,
      health: 'ok',
      daemonPid: mounted.daemonPid,
      stateDirectory: mounted.stateDirectory,
      driver: testDriver,
    });
    expect(await mounted.imageStatus(name)).toMatchObject({ image: name, dirtyBytes: 0 });
    expect((await stat(mounted.stateDirectory)).mode & 0o777).toBe(0o700);
    for (const file of await readdir(mounted.stateDirectory, { recursive: true, withFileTypes: true })) {
      const { mode } = await stat(join(file.parentPath, file.name));
      expect({ name: file.name, others: mode & 0o077 }).toEqual({ name: file.name, others: 0 });
    }
  });

  test('gives the repository to the verbs that need no head', async () => {
    const listing = await lazydiskJson(['list', mounted.mountpoint], { env: mounted.repository.env });
    expect(listing).toMatchObject({ images: [{ image: name }] });
    await mustLazydisk(['verify', mounted.mountpoint], { env: mounted.repository.env });
  });

  test('that is unmounted leaves nothing behind; unmounting again says so', async () => {
    await mounted.unmount();
    await hasEnded(mounted);
    const again = await mustLazydisk(['unmount', mounted.mountpoint], { env: mounted.repository.env });
    expect(again).toContain('nothing of lazydisk is mounted');
    expect((await log(mounted)).at(-1)).toMatchObject({ message: 'Ended.', clean: true });
  });

  test('ends in order by umount(8)', async () => {
    await must('umount', [mounted.mountpoint]);
    await hasEnded(mounted);
    expect((await log(mounted)).at(-1)).toMatchObject({ message: 'Ended.', clean: true });
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('ends in order by %s', async (signal) => {
    process.kill(mounted.daemonPid, signal);
    await hasEnded(mounted);
    expect((await log(mounted)).at(-1)).toMatchObject({ message: 'Ended.', clean: true });
  });

  test('that is in use stays: unmount and SIGTERM say who holds it, a second SIGTERM ends it', async () => {
    const holder = start('sleep', ['1000'], { cwd: join(mounted.mountpoint, name) });
    await waitFor('the holder is there', () => isAlive(holder.pid));
    const { status, stderr } = await lazydisk(['unmount', mounted.mountpoint], { env: mounted.repository.env });
    expect({ status, stderr }).toMatchObject({ status: 4, stderr: expect.stringContaining(String(holder.pid)) });
    process.kill(mounted.daemonPid, 'SIGTERM');
    await waitFor('the refusal is logged', async () =>
      (await log(mounted)).some(({ error }) => error?.message.includes(String(holder.pid)) ?? false),
    );
    expect((await readRange(mounted.path(name), 0, 4096)).length).toBe(4096);
    process.kill(mounted.daemonPid, 'SIGTERM');
    await hasEnded(mounted);
  });

  test('whose daemon was killed is explained, and cleared by unmount; what was written is there at the next', async () => {
    const file = await open(mounted.path(name), 'r+');
    await file.write('written before the end', 8192);
    await file.close();
    await mounted.killAll();
    const { env } = mounted.repository;
    expect(await lazydisk(['status', mounted.mountpoint], { env })).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('mount it again'),
    });
    await mustLazydisk(['unmount', mounted.mountpoint], { env });
    expect(await mountpointsUnder(mounted.mountpoint)).toEqual([]);
    const again = await mountAgain(mounted);
    expect((await readRange(again.path(name), 8192, 22)).toString()).toBe('written before the end');
  });
});

test('without --state, each repository has its directory, which is found again', async () => {
  const { repository, name } = await repositoryWithImage('file');
  const mountpoint = join(await realpath(temporaryFolder('default')), 'mnt');
  await mkdir(mountpoint);
  const { env } = repository;
  undoLater(async () => void (await run('umount', ['-l', mountpoint])));
  const first = (await lazydiskJson(['mount', repository.url, mountpoint], { env })) as { stateDirectory: string };
  undoLater(async () => void (await run('rm', ['-rf', first.stateDirectory])));
  expect(first.stateDirectory).toMatch(/^\/var\/lib\/lazydisk\/[0-9a-f]{32}$/);
  const file = await open(join(mountpoint, name, 'disk.raw'), 'r+');
  await file.write('kept', 0);
  await file.close();
  await mustLazydisk(['unmount', mountpoint], { env });
  const second = await lazydiskJson(['mount', repository.url, mountpoint], { env });
  expect(second).toMatchObject({ stateDirectory: first.stateDirectory, degraded: false });
  expect((await readRange(join(mountpoint, name, 'disk.raw'), 0, 4)).toString()).toBe('kept');
  await mustLazydisk(['unmount', mountpoint], { env });
});

test('a mount in the foreground serves in its own process until it is asked to end', async () => {
  const { repository, name } = await repositoryWithImage('file');
  const folder = await realpath(temporaryFolder('foreground'));
  const mountpoint = join(folder, 'mnt');
  await mkdir(mountpoint);
  const words = ['mount', repository.url, mountpoint, '--state', join(folder, 'state'), '--foreground'];
  undoLater(async () => void (await run('umount', ['-l', mountpoint])));
  const daemon = start(process.execPath, ['dist/mount/cli/main.js', ...words], { env: repository.env });
  await waitFor('it is mounted', () => daemon.output().includes(`mounted ${repository.url}`));
  expect(await lazydiskJson(['status', mountpoint], { env: repository.env })).toMatchObject({ daemonPid: daemon.pid });
  expect((await readRange(join(mountpoint, name, 'disk.raw'), 0, 4096)).length).toBe(4096);
  daemon.kill('SIGTERM');
  expect(await daemon.ended).toMatchObject({ status: 0, signal: null });
  expect(await mountpointsUnder(folder)).toEqual([]);
});

test('a mount starts without its store when it knows it, and says so; what a store refuses is final', async () => {
  const folder = await realpath(temporaryFolder('degraded'));
  const [mountpoint, state] = [join(folder, 'mnt'), join(folder, 'state')];
  await mkdir(mountpoint);
  await mkdir(state, { mode: 0o700 });
  const repositoryId = 'c'.repeat(32);
  const record = {
    stateVersion: 1,
    stateId: 'd'.repeat(32),
    repositoryUrl: 's3://bucket/prefix',
    endpoint: 'http://127.0.0.1:1',
    repositoryId,
    marker: { formatVersion: 1, repositoryId, requires: [], allows: [], defaultChunkSizeBytes: 262_144 },
  };
  await writeFile(join(state, 'state.json'), JSON.stringify(record));
  const env = {
    HOME: folder,
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'very-secret-words',
    AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
    AWS_ENDPOINT_URL_S3: undefined,
    AWS_PROFILE: undefined,
  };
  undoLater(async () => void (await run('umount', ['-l', mountpoint])));
  const mounted = await lazydisk(['mount', 's3://bucket/prefix', mountpoint, '--state', state], { env });
  expect(mounted).toMatchObject({ status: 0, stderr: expect.stringContaining('The store does not answer') });
  expect(await lazydiskJson(['status', mountpoint], { env })).toMatchObject({ repositoryId, imagesListed: false });
  await mustLazydisk(['unmount', mountpoint], { env });
  const text = await readFile(join(state, 'daemon.log'), 'utf8');
  expect(text).not.toContain('very-secret-words');

  const elsewhere = await lazydisk(['mount', 's3://other/prefix', mountpoint, '--state', state], {
    env: { ...env, AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined },
  });
  expect(elsewhere).toMatchObject({ status: 5, stdout: '' });
  expect(elsewhere.stderr).toMatch(/^lazydisk: .*\n$/);
});

test('a failure in the daemon is the same one sentence that the foreground says', async () => {
  const folder = await realpath(temporaryFolder('failure'));
  await mkdir(join(folder, 'mnt'));
  await mkdir(join(folder, 'empty'));
  const words = ['mount', `file://${join(folder, 'empty')}`, join(folder, 'mnt'), '--state', join(folder, 'state')];
  const background = await lazydisk(words);
  const foreground = await lazydisk([...words, '--foreground']);
  expect(background).toMatchObject({
    status: 3,
    stdout: '',
    stderr: expect.stringContaining('not a lazydisk repository'),
  });
  expect(foreground).toEqual(background);
});
