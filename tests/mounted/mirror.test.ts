import { describe, expect, test } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { checksumOf, readRange } from '../helpers/contents.js';
import { startCountingProxy } from '../helpers/counting-proxy.js';
import { commit, importFile, KIB, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { lazydisk, mustLazydisk } from '../helpers/program.js';
import { describeS3, REPOSITORY_KINDS, s3Endpoint, through } from '../helpers/repositories.js';
import { waitFor } from '../helpers/waiting.js';

describe.each(REPOSITORY_KINDS)('what this host has (%s)', (kind) => {
  cleanUpAfter('each');

  test('only the chunks that a read touches travel', async () => {
    const { repository, name, original } = await repositoryWithImage(kind);
    const mounted = await mountRepository({ repository });
    const before = (await mounted.status()).fetchedBytes;
    const bytes = await readRange(mounted.path(name), MIB, 64 * KIB);
    expect(bytes.equals(await readRange(original, MIB, 64 * KIB))).toBe(true);
    // the page cache may read ahead a little on its own
    const fetched = (await mounted.status()).fetchedBytes - before;
    expect(fetched).toBeGreaterThanOrEqual(256 * KIB);
    expect(fetched).toBeLessThanOrEqual(MIB);
  });

  // S14
  test('a second mount with the same state fetches nothing that is local', async () => {
    const { repository, name, original } = await repositoryWithImage(kind);
    const mounted = await mountRepository({ repository });
    const sum = await checksumOf(original);
    expect(await checksumOf(mounted.path(name))).toBe(sum);
    expect((await mounted.status()).fetchedBytes).toBeGreaterThan(4 * MIB);
    await mounted.unmount();

    const again = await mountAgain(mounted);
    expect(await checksumOf(again.path(name))).toBe(sum);
    expect(await checksumOf(again.path(name, '1.raw'))).toBe(sum);
    expect((await again.status()).fetchedBytes).toBe(0);
  });

  test('a clone, and an import with the same bytes, share the copies of the chunks', async () => {
    const { repository, name, original } = await repositoryWithImage(kind);
    await importFile(repository, original, 'same');
    const mounted = await mountRepository({ repository });
    const sum = await checksumOf(original);
    expect(await checksumOf(mounted.path(name))).toBe(sum);
    const { fetchedBytes } = await mounted.status();

    await mustLazydisk(['clone', mounted.mountpoint, name, 'twin'], { env: repository.env });
    expect(await checksumOf(mounted.path('twin'))).toBe(sum);
    expect(await checksumOf(mounted.path('same'))).toBe(sum);
    expect((await mounted.status()).fetchedBytes).toBe(fetchedBytes);
  });

  // S14
  test('with a quota smaller than the working set every byte is right, and the quota holds', async () => {
    const sizeBytes = 144 * MIB;
    const quota = 64 * MIB; // the least that the program takes
    const { repository, name, original } = await repositoryWithImage(kind, {
      sizeBytes,
      extents: [{ offset: 0, lengthBytes: sizeBytes }],
    });
    const mounted = await mountRepository({ repository, options: ['--cache-size', '64M'] });
    const sum = await checksumOf(original);

    // Two readers from both ends, so that slots leave under readers of other slots.
    const forwards = checksumOf(mounted.path(name));
    const backwards = must('bash', [
      '-c',
      `for i in $(seq 140 -4 0); do cmp -n 4M -i "$i"M "${original}" "${mounted.path(name, '1.raw')}" || exit 1; done`,
    ]);
    expect(await forwards).toBe(sum);
    await backwards;
    expect(await checksumOf(mounted.path(name))).toBe(sum);
    const { localBytes, fetchedBytes, evictedChunks } = await mounted.status();
    expect(localBytes).toBeLessThanOrEqual(quota);
    expect(fetchedBytes).toBeGreaterThan(sizeBytes);
    expect(evictedChunks).toBeGreaterThan(0);
  });
});

describeS3('a mount whose S3 server goes away', () => {
  cleanUpAfter('each');

  test('a mount starts without the store when it knows its state directory, says so, and serves what is local', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const proxy = await startCountingProxy(s3Endpoint());
    undoLater(proxy.close);
    const mounted = await mountRepository({ repository: through(repository, proxy.url) });
    const sum = await checksumOf(original);
    expect(await checksumOf(mounted.path(name))).toBe(sum);
    // A write that is not committed: the head keeps its lock over the unmount, so writing goes on without asking.
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 1 8M 64k', mounted.path(name)]);
    const written = await checksumOf(mounted.path(name));
    await mounted.unmount();

    proxy.setOutage(true);
    const again = await mountAgain(mounted, { options: ['--timeout', '3'] });
    await waitFor('the status says so', async () => (await again.status()).health === 'offline');
    expect(await readdir(again.mountpoint)).toContain(name);
    expect(await checksumOf(again.path(name))).toBe(written);
    expect(await checksumOf(again.path(name, '1.raw'))).toBe(sum);
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 2 9M 64k', '-c', 'read -P 2 9M 64k', again.path(name)]);
    const refused = await lazydisk(['commit', again.mountpoint, name], { env: repository.env });
    expect(refused.status).toBe(5);

    proxy.setOutage(false);
    await waitFor('a commit goes through again', async () => (await commit(again, name)).number === 2);
    expect(await checksumOf(again.path(name, '2.raw'))).toBe(await checksumOf(again.path(name)));
  });

  // S15
  test('what is local is read and written; a read that needs the store waits, and is answered when it is back', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const proxy = await startCountingProxy(s3Endpoint());
    undoLater(proxy.close);
    const mounted = await mountRepository({ repository: through(repository, proxy.url) });
    await readRange(mounted.path(name), 0, MIB);
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 1 8M 64k', mounted.path(name)]);

    proxy.setOutage(true);
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 2 9M 64k', '-c', 'read -P 1 8M 64k', mounted.path(name)]);
    let answered = false;
    const waiting = readRange(mounted.path(name), 31 * MIB, 64 * KIB).finally(() => {
      answered = true;
    });
    await waitFor('a read waits', async () => (await mounted.status()).waitingFetches > 0);
    expect(answered).toBe(false);
    proxy.setOutage(false);
    expect((await waiting).equals(await readRange(original, 31 * MIB, 64 * KIB))).toBe(true);
  });

  // S15
  test('a read that needs the store gets EIO after --timeout, and the next one works when the store is back', async () => {
    const { repository, name, original } = await repositoryWithImage('s3');
    const proxy = await startCountingProxy(s3Endpoint());
    undoLater(proxy.close);
    const mounted = await mountRepository({ repository: through(repository, proxy.url), options: ['--timeout', '4'] });
    await readRange(mounted.path(name), 0, MIB);

    proxy.setOutage(true);
    await expect(readRange(mounted.path(name), 31 * MIB, 64 * KIB)).rejects.toThrow(/EIO/);
    proxy.setOutage(false);
    await waitFor('the store is asked again', async () =>
      (await readRange(mounted.path(name), 31 * MIB, 64 * KIB)).equals(await readRange(original, 31 * MIB, 64 * KIB)),
    );
  });
});
