import { describe, expect, test } from '@jest/globals';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { checksumOf, readRange } from '../helpers/contents.js';
import { startFaultyProxy, type FaultyProxy } from '../helpers/faulty-proxy.js';
import { commit, MIB, repositoryWithImage } from '../helpers/images.js';
import { acknowledgedBy, startWriters, wrongBlocks } from '../helpers/journals.js';
import { mountAgain, mountRepository, type MountedTest } from '../helpers/mounts.js';
import { isAlive, must, start } from '../helpers/processes.js';
import { lazydisk, lazydiskJson } from '../helpers/program.js';
import { describeS3, s3Endpoint, through } from '../helpers/repositories.js';
import { mountpointsUnder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const isSegment = (path: string): boolean => path.includes('/segments/');

async function proxied(): Promise<FaultyProxy> {
  const proxy = await startFaultyProxy(s3Endpoint());
  undoLater(proxy.close);
  return proxy;
}

async function logOf(mounted: MountedTest): Promise<{ message: string }[]> {
  const text = await readFile(join(mounted.stateDirectory, 'daemon.log'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { message: string });
}

async function ended(mounted: MountedTest): Promise<void> {
  await waitFor('the daemon has ended', () => !isAlive(mounted.daemonPid) && !isAlive(mounted.supervisorPid));
  expect(await mountpointsUnder(mounted.mountpoint)).toEqual([]);
  expect((await logOf(mounted)).at(-1)?.message).toBe('Ended.');
}

/** A busy mount is not taken from under its users: the first signal asks, the second insists. */
async function insist(mounted: MountedTest): Promise<void> {
  process.kill(mounted.daemonPid, 'SIGTERM');
  await waitFor('the first signal is refused', async () =>
    (await logOf(mounted)).some(({ message }) => message.includes('Another signal aborts')),
  );
  expect(isAlive(mounted.daemonPid)).toBe(true);
  process.kill(mounted.daemonPid, 'SIGTERM');
  await ended(mounted);
}

describeS3('SIGTERM', () => {
  cleanUpAfter('each');

  // S15, S19
  test('in the middle of a fetch: who reads gets an error instead of waiting for ever, and all is right at the next mount', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const proxy = await proxied();
    const mounted = await mountRepository({ repository: through(repository, proxy.url) });
    proxy.choose = ({ path }) => (isSegment(path) ? { kind: 'stall' } : undefined);
    const reader = start('dd', [`if=${mounted.path(name)}`, 'of=/dev/null', 'bs=64k', 'count=1']);
    await waitFor('the read waits for the store', () => (proxy.counts().stall ?? 0) > 0);
    await insist(mounted);
    expect((await reader.ended).status).toBe(1);
    proxy.choose = undefined;
    const again = await mountAgain(mounted);
    expect(await checksumOf(again.path(name))).toBe(await checksumOf(original));
  });

  // S29, S30
  test('in the middle of a commit: no snapshot, every write, and the next commit makes it once', async () => {
    const { repository, name } = await repositoryWithImage('s3');
    const proxy = await proxied();
    const mounted = await mountRepository({ repository: through(repository, proxy.url) });
    await must('dd', ['if=/dev/urandom', `of=${mounted.path(name)}`, 'bs=1M', 'count=4', 'conv=notrunc']);
    const written = await readRange(mounted.path(name), 0, 4 * MIB);
    proxy.choose = ({ path, method }) => (method === 'PUT' && isSegment(path) ? { kind: 'stall' } : undefined);
    const { env } = mounted.repository;
    await lazydiskJson(['commit', mounted.mountpoint, name, '--async'], { env });
    await waitFor('the upload is under way', () => (proxy.counts().stall ?? 0) > 0);
    expect(await lazydisk(['unmount', mounted.mountpoint], { env })).toMatchObject({
      status: 4,
      stderr: expect.stringContaining('commit'),
    });
    process.kill(mounted.daemonPid, 'SIGTERM');
    await ended(mounted);
    proxy.choose = undefined;
    const again = await mountAgain(mounted);
    expect((await readRange(again.path(name), 0, 4 * MIB)).equals(written)).toBe(true);
    expect(await readdir(join(again.mountpoint, name))).not.toContain('2.raw');
    expect(await commit(again, name)).toMatchObject({ number: 2, changed: true });
    expect((await readRange(again.path(name, '2.raw'), 0, 4 * MIB)).equals(written)).toBe(true);
  });

  // S19
  test('in the middle of heavy writing: writers end by an error, and every acknowledged write is there', async () => {
    const { repository, name } = await repositoryWithImage('file', { extents: [] });
    const mounted = await mountRepository({ repository });
    const writers = startWriters(mounted.path(name));
    await waitFor('both writers are at work', () => writers.every(({ output }) => output().length > 30_000));
    await insist(mounted);
    const may = await acknowledgedBy(writers);
    expect(may.size).toBeGreaterThan(500);
    const again = await mountAgain(mounted);
    expect(await wrongBlocks(again.path(name), may)).toEqual([]);
  });
});

describe('a mount that somebody else has detached (umount -l)', () => {
  cleanUpAfter('each');

  test('serves who has a file open, ends in order with the last close, and keeps what was written', async () => {
    const { repository, name } = await repositoryWithImage('file');
    const mounted = await mountRepository({ repository });
    const file = await open(mounted.path(name), 'r+');
    await must('umount', ['-l', mounted.mountpoint]);
    expect(await mountpointsUnder(mounted.mountpoint)).toEqual([]);
    await file.write('written after it', 4096);
    await file.sync();
    expect(isAlive(mounted.daemonPid)).toBe(true);
    await file.close();
    await ended(mounted);
    const again = await mountAgain(mounted);
    expect((await readRange(again.path(name), 4096, 16)).toString()).toBe('written after it');
  });
});
