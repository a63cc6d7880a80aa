/** What can be done with credentials that may only read. */
import { expect, test } from '@jest/globals';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { checksumOf, readRange, seededBytes } from '../helpers/contents.js';
import { type CountingProxy, startCountingProxy } from '../helpers/counting-proxy.js';
import { commit, type ImportedImage, KIB, repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { run } from '../helpers/processes.js';
import { lazydisk, lazydiskJson, mustLazydisk } from '../helpers/program.js';
import { describeS3, s3Endpoint, through } from '../helpers/repositories.js';

const WORK = seededBytes(50, 300 * KIB);

describeS3('credentials that may only read', () => {
  cleanUpAfter('each');

  async function imageBehindProxy(): Promise<ImportedImage & { proxy: CountingProxy }> {
    const made = await repositoryWithImage('s3');
    const proxy = await startCountingProxy(s3Endpoint());
    undoLater(proxy.close);
    proxy.setReadOnly(true);
    return { ...made, repository: through(made.repository, proxy.url), proxy };
  }

  // S50
  test('mount, read, and write to a local clone; its commit says which right is missing and keeps everything', async () => {
    const { repository, name, original, proxy } = await imageBehindProxy();
    // The defaults of a user's mount: fill and profiles too.
    let mounted = await mountRepository({ repository, options: ['--fill', 'idle', '--profile', 'auto'] });
    expect(await checksumOf(mounted.path(name))).toBe(await checksumOf(original));
    expect(
      await lazydiskJson(['clone', mounted.mountpoint, name, 'scratch', '--local'], { env: repository.env }),
    ).toEqual({ image: 'scratch', number: null, source: { image: name, number: 1 } });
    expect(await checksumOf(mounted.path('scratch'))).toBe(await checksumOf(original));
    await writeSynced(mounted.path('scratch'), 700 * KIB, WORK);
    // A start tries once whether the store refuses to overwrite, which is denied here; nothing else is tried.
    expect(proxy.requests().filter(({ method }) => method !== 'GET')).toMatchObject([
      { method: 'PUT', ifNoneMatch: '*', path: expect.stringMatching(/\/lazydisk\.json$/) },
    ]);

    const refused = await lazydisk(['commit', mounted.mountpoint, 'scratch'], { env: repository.env });
    expect(refused.status).toBe(5);
    expect(refused.stderr).toMatch(/denied PUT lazydisk\.json: these credentials lack s3:PutObject/);
    const dirty = { localCloneOf: { image: name, number: 1 }, dirtyBytes: 300 * KIB, lock: null };
    expect(await mounted.imageStatus('scratch')).toMatchObject(dirty);

    await mounted.unmount();
    mounted = await mountAgain(mounted);
    expect(await mounted.imageStatus('scratch')).toMatchObject(dirty);
    expect((await readRange(mounted.path('scratch'), 700 * KIB, WORK.length)).equals(WORK)).toBe(true);

    proxy.setReadOnly(false);
    expect(await commit(mounted, 'scratch')).toMatchObject({ number: 1, changed: true });
    const other = await mountRepository({ repository });
    expect((await readRange(other.path('scratch', '1.raw'), 700 * KIB, WORK.length)).equals(WORK)).toBe(true);
    expect(await checksumOf(other.path(name, '1.raw'))).toBe(await checksumOf(original));
  });

  test('an image of the store is not opened for writing, the log says why, and reading goes on', async () => {
    const { repository, name, original } = await imageBehindProxy();
    const mounted = await mountRepository({ repository });
    const write = ['if=/dev/zero', `of=${mounted.path(name)}`, 'bs=4k', 'count=1', 'conv=notrunc', 'status=none'];
    expect((await run('dd', write)).status).not.toBe(0);
    expect(await readFile(join(mounted.stateDirectory, 'daemon.log'), 'utf8')).toMatch(
      /denied PUT .* lack s3:PutObject/,
    );
    expect(await checksumOf(mounted.path(name))).toBe(await checksumOf(original));
    expect(await mounted.imageStatus(name)).toMatchObject({ dirtyBytes: 0, lock: null });
    // A clone in the store needs the right too, and nothing is left of the attempt.
    const clone = await lazydisk(['clone', mounted.mountpoint, name, 'copy'], { env: repository.env });
    expect(clone).toMatchObject({ status: 5, stderr: expect.stringMatching(/lack s3:PutObject/) as unknown });
    expect(await mustLazydisk(['list', repository.url], { env: repository.env })).not.toMatch(/copy/);
  });
});

async function writeSynced(path: string, offset: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.length, offset);
    await file.sync();
  } finally {
    await file.close();
  }
}
