import { expect, test } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { checksumOf, readRange, seededRandom } from '../helpers/contents.js';
import { startCountingProxy } from '../helpers/counting-proxy.js';
import { isMainPass } from '../helpers/driver.js';
import { type FaultyProxy, randomFaults, startFaultyProxy, type WireFault } from '../helpers/faulty-proxy.js';
import { commit, KIB, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { lazydisk } from '../helpers/program.js';
import { describeS3, s3Endpoint, through } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

/** What can be repaired by asking again. */
const PASSING: readonly WireFault[] = [
  { kind: 'status', status: 500, code: 'InternalError' },
  { kind: 'status', status: 503, code: 'SlowDown' },
  { kind: 'status', status: 403, code: 'RequestTimeTooSkewed' },
  { kind: 'reset' },
  { kind: 'lost answer' },
  { kind: 'late', delayMs: 100 },
  { kind: 'truncate' },
  { kind: 'short' },
  { kind: 'flip' },
  { kind: 'wrong etag' },
  { kind: 'stale' },
];

const isSegment = (path: string): boolean => path.includes('/segments/');
const isRecord = (path: string): boolean => /\/snapshots\/\d{8}\.json$/.test(path);

async function faultyProxy(): Promise<FaultyProxy> {
  const proxy = await startFaultyProxy(s3Endpoint());
  undoLater(proxy.close);
  return proxy;
}

/** Reads as a guest whose disk stops on errors does: a read that failed is made again. Returns the bytes and the failures. */
async function readInPieces(path: string, sizeBytes: number): Promise<{ bytes: Buffer; failures: number }> {
  const pieces: Buffer[] = [];
  let failures = 0;
  for (let offset = 0; offset < sizeBytes; offset += 512 * KIB) {
    const piece = await waitFor(`bytes at ${String(offset)}`, () =>
      readRange(path, offset, 512 * KIB).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error;
        failures += 1;
        return undefined;
      }),
    );
    pieces.push(piece);
  }
  return { bytes: Buffer.concat(pieces), failures };
}

describeS3('a store that lies, stalls or goes away', () => {
  cleanUpAfter('each');

  // S14
  test.each(isMainPass ? [1, 2, 3] : [1])(
    'one bad answer in four gives no reader a wrong byte, and leaves nothing bad behind (seed %i)',
    async (seed) => {
      const { repository, name, original, sizeBytes } = await repositoryWithImage('s3', {
        extents: [{ offset: 0, lengthBytes: 24 * MIB }],
      });
      const proxy = await faultyProxy();
      const mounted = await mountRepository({ repository: through(repository, proxy.url) });
      proxy.choose = randomFaults(seededRandom(seed), 0.25, PASSING);
      const { bytes } = await readInPieces(mounted.path(name), sizeBytes);
      expect(bytes.equals(await readRange(original, 0, sizeBytes))).toBe(true);
      const counts = Object.values(proxy.counts());
      expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(5);
      proxy.choose = undefined;
      await mounted.unmount();

      // What stayed on the disk is what was sent: without the store every byte is there, and right.
      const cut = await startCountingProxy(s3Endpoint());
      undoLater(cut.close);
      const again = await mountAgain({ ...mounted, repository: through(repository, cut.url) });
      expect(await checksumOf(again.path(name))).toBe(await checksumOf(original));
      expect((await again.status()).fetchedBytes).toBe(0);
    },
  );

  test('a read whose answer never comes is answered after all', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const proxy = await faultyProxy();
    const mounted = await mountRepository({ repository: through(repository, proxy.url) });
    await readRange(mounted.path(name), 0, KIB);
    let stalled = 0;
    proxy.choose = ({ path }) => (isSegment(path) && stalled++ === 0 ? { kind: 'stall' } : undefined);
    const bytes = await readRange(mounted.path(name), 31 * MIB, 64 * KIB);
    expect(bytes.equals(await readRange(original, 31 * MIB, 64 * KIB))).toBe(true);
    expect(stalled).toBeGreaterThan(1);
  });

  test('a second mount on a state directory is refused, and ends, though what it asked ahead is never answered', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const mounted = await mountRepository({ repository });
    const proxy = await faultyProxy();
    proxy.choose = ({ method, query }) =>
      method === 'PUT' || query.includes('list-type=') ? { kind: 'stall' } : undefined;
    const mountpoint = temporaryFolder('second');
    const words = ['mount', repository.url, mountpoint, '--state', mounted.stateDirectory, '--foreground'];
    const { status, stderr } = await lazydisk(words, { env: through(repository, proxy.url).env });
    expect([status, stderr.trim().split('\n')]).toEqual([
      4,
      [expect.stringContaining(`is in use by the mount on ${mounted.mountpoint}`)],
    ]);
    expect(proxy.counts().stall).toBe(2);
    expect(await checksumOf(mounted.path(name))).toBe(await checksumOf(original));
  });

  // S15
  test('rights that are gone for a while stop reads of what is not here, and nothing else; then all goes on', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const proxy = await faultyProxy();
    const mounted = await mountRepository({ repository: through(repository, proxy.url) });
    const local = await readRange(mounted.path(name), 0, MIB);
    proxy.choose = () => ({ kind: 'status', status: 403, code: 'AccessDenied' });
    let answered = false;
    const waiting = readRange(mounted.path(name), 31 * MIB, 64 * KIB).finally(() => {
      answered = true;
    });
    await waitFor('a read was refused by the store', () => (proxy.counts().status ?? 0) > 2);
    expect((await readRange(mounted.path(name, '1.raw'), 0, MIB)).equals(local)).toBe(true);
    expect(answered).toBe(false);
    proxy.choose = undefined;
    expect((await waiting).equals(await readRange(original, 31 * MIB, 64 * KIB))).toBe(true);
  });

  // S29
  test.each([
    ['segments are refused', ({ path, method }) => method === 'PUT' && isSegment(path)],
    ['the record is refused', ({ path, method }) => method === 'PUT' && isRecord(path)],
    ['nothing is answered', () => true],
  ] satisfies [string, (request: { path: string; method: string }) => boolean][])(
    'a commit that fails because %s keeps everything, and the next one has it all',
    async (_, isHit) => {
      const { repository, name } = await repositoryWithImage('s3');
      const proxy = await faultyProxy();
      const mounted = await mountRepository({
        repository: through(repository, proxy.url),
        options: ['--timeout', '5'],
      });
      await must('qemu-io', ['-f', 'raw', '-c', 'write -P 7 1M 4M', '-c', 'write -P 9 30M 64k', mounted.path(name)]);
      const before = await checksumOf(mounted.path(name));
      proxy.choose = (request) => (isHit(request) ? { kind: 'status', status: 503, code: 'SlowDown' } : undefined);
      const { env } = repository;
      const failed = await lazydisk(['commit', mounted.mountpoint, name], { env });
      expect(failed).toMatchObject({ status: 5 });
      expect(failed.stderr.trim().split('\n')).toHaveLength(1);
      expect(await checksumOf(mounted.path(name))).toBe(before);
      expect((await mounted.imageStatus(name)).dirtyBytes).toBe(4 * MIB + 64 * KIB);
      proxy.choose = undefined;
      expect(await commit(mounted, name)).toMatchObject({ number: 2, changed: true });
      const second = await mountRepository({ repository });
      expect(await checksumOf(second.path(name, '2.raw'))).toBe(before);
      expect((await readdir(second.path(name, ''))).filter((file) => /^\d/.test(file)).sort()).toEqual([
        '1.raw',
        '2.raw',
      ]);
    },
  );

  // S30
  test.each([
    ['was lost', { kind: 'lost answer' }],
    ['came after the limit', { kind: 'late', delayMs: 7000 }],
  ] satisfies [string, WireFault][])(
    'a record whose answer %s is found again: one snapshot, never two',
    async (_, fault) => {
      const { repository, name } = await repositoryWithImage('s3');
      const proxy = await faultyProxy();
      const mounted = await mountRepository({
        repository: through(repository, proxy.url),
        options: ['--timeout', '5'],
      });
      await must('qemu-io', ['-f', 'raw', '-c', 'write -P 7 1M 1M', mounted.path(name)]);
      const before = await checksumOf(mounted.path(name));
      proxy.choose = ({ path, method }) => (method === 'PUT' && isRecord(path) ? fault : undefined);
      const { status } = await lazydisk(['commit', mounted.mountpoint, name], { env: repository.env });
      expect([0, 5]).toContain(status);
      proxy.choose = undefined;
      await commit(mounted, name);
      const numbers = (await readdir(mounted.path(name, ''))).filter((file) => /^\d/.test(file)).sort();
      expect(numbers).toEqual(['1.raw', '2.raw']);
      const second = await mountRepository({ repository });
      expect(await checksumOf(second.path(name, '2.raw'))).toBe(before);
    },
  );

  test('an import that is shown an old listing takes no number that is used', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const proxy = await faultyProxy();
    const { env } = through(repository, proxy.url);
    // Seen once, so that there is something old.
    await must(process.execPath, ['dist/mount/cli/main.js', 'list', repository.url, name], { env });
    const first = await lazydisk(['import', repository.url, original, name], { env });
    expect(first.status).toBe(0);
    proxy.choose = ({ query }) => (query.includes('list-type=') ? { kind: 'stale' } : undefined);
    const second = await lazydisk(['import', repository.url, original, name, '--json'], { env });
    proxy.choose = undefined;
    if (second.status === 0) expect(JSON.parse(second.stdout)).toMatchObject({ number: 3 });
    else expect(second.status).toBe(4);
    const mounted = await mountRepository({ repository });
    expect(await checksumOf(mounted.path(name, '2.raw'))).toBe(await checksumOf(original));
  });
});
