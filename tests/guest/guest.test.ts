/**
 * End to end: a real guest boots from the mount over a real S3 server, and its commit boots again on a host that has
 * nothing. The tests of this file are steps of one story, in order; the last one looks at a mount that was idle all the while.
 */
import { beforeAll, expect, test } from '@jest/globals';
import { rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { checksumOf, readRange } from '../helpers/contents.js';
import { type CountingProxy, startCountingProxy } from '../helpers/counting-proxy.js';
import { bootGuest, guestImage, readsOf } from '../helpers/guest.js';
import { commit, importFile, KIB, MIB } from '../helpers/images.js';
import { type MountedTest, mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { mustLazydisk } from '../helpers/program.js';
import { createRepository, describeS3, s3Endpoint, type TestRepository, through } from '../helpers/repositories.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { passed } from '../helpers/waiting.js';

const REPLAY = resolve('tests/tools/replay-trace.mjs');
const CHANGED_CHUNKS = resolve('tests/tools/changed-chunks.mjs');
const FIXTURE = resolve('tests/fixtures/boot-trace.txt');
const CHUNK = 256 * KIB;
/** The boot touches 87 MiB in chunks of 256 KiB; the rest is tree nodes and what is read until the test has looked. */
const READY_BYTES = 110 * MIB;
/** The same chunks as they are stored have 43 MiB. */
const LEAST_READY_BYTES = 35 * MIB;
const IDLE_MS = 60_000;

describeS3('a guest over S3', () => {
  cleanUpAfter('all');

  let original = '';
  let repository: TestRepository;
  let mounted: MountedTest;
  let committed = '';
  let bootReads: string[] = [];
  let idle: { mount: MountedTest; proxy: CountingProxy; sinceMs: number };

  beforeAll(async () => {
    original = await guestImage();
    repository = await createRepository('s3');
    await importFile(repository, original, 'debian-12');
    const proxy = await startCountingProxy(s3Endpoint());
    undoLater(proxy.close);
    const idleMount = await mountRepository({ repository: through(repository, proxy.url) });
    // Direct, so that the kernel reads nothing ahead after the answer.
    const disk = idleMount.path('debian-12');
    await must('dd', [`if=${disk}`, 'of=/dev/null', 'iflag=direct', 'bs=64k', 'count=8', 'status=none']);
    proxy.reset();
    idle = { mount: idleMount, proxy, sinceMs: Date.now() };
  }, 900_000);

  test('a clone boots, and at most 110 MiB have been fetched when the guest is ready', async () => {
    mounted = await mountRepository({ repository });
    await mustLazydisk(['clone', mounted.mountpoint, 'debian-12', 'vm-01'], { env: repository.env });
    const readLog = join(temporaryFolder('guest'), 'reads');
    const guest = bootGuest(mounted.path('vm-01'), readLog);

    await guest.shows(/GUEST-READY/, 300_000);
    const { fetchedBytes } = JSON.parse(
      (await readRange(join(mounted.mountpoint, 'status'), 0, 65_536)).toString('utf8'),
    ) as { fetchedBytes: number };
    bootReads = await readsOf(readLog);

    let peakBytes = 0;
    let over = false;
    const console = guest.ended.finally(() => {
      over = true;
    });
    while (!over) {
      const { layerAllocatedBytes } = await mounted.imageStatusFile('vm-01');
      peakBytes = Math.max(peakBytes, layerAllocatedBytes);
      await Promise.race([passed(500), console]);
    }
    expect(await console).toMatch(/GUEST-DONE ok boots=1\b/);
    expect(fetchedBytes).toBeGreaterThan(LEAST_READY_BYTES);
    expect(fetchedBytes).toBeLessThanOrEqual(READY_BYTES);

    // what the guest trimmed is free again
    const { layerAllocatedBytes, dirtyBytes } = await mounted.imageStatusFile('vm-01');
    expect(layerAllocatedBytes).toBeLessThan(peakBytes);
    expect(Math.abs(layerAllocatedBytes - dirtyBytes)).toBeLessThanOrEqual(dirtyBytes * 0.1);
  }, 900_000);

  test('the replay of the boot afterwards fetches nothing', async () => {
    expect(bootReads.length).toBeGreaterThan(1000);
    const trace = join(temporaryFolder('trace'), 'trace');
    await writeFile(trace, `${bootReads.join('\n')}\n`);
    const before = (await mounted.status()).fetchedBytes;
    const replay = JSON.parse(await must(process.execPath, [REPLAY, mounted.path('vm-01'), trace])) as {
      reads: number;
    };
    expect(replay.reads).toBe(bootReads.length);
    expect((await mounted.status()).fetchedBytes - before).toBe(0);
  });

  // S2
  test('every byte of a recorded boot reads from the snapshot as from the original', async () => {
    await must(process.execPath, [REPLAY, mounted.path('debian-12', '1.raw'), FIXTURE, original]);
  });

  test('a commit uploads no more than the chunks that the guest changed', async () => {
    const report = await commit(mounted, 'vm-01');
    expect(report.number).toBe(2);
    const changed = Number(
      await must(process.execPath, [CHANGED_CHUNKS, original, mounted.path('vm-01', '2.raw'), String(CHUNK)]),
    );
    expect(changed).toBeGreaterThan(0);
    expect(report.uploadedBytes).toBeLessThanOrEqual(changed * CHUNK * 1.01 + 64 * KIB);
    committed = await checksumOf(mounted.path('vm-01'));
  });

  test('the committed image boots on a host that has nothing', async () => {
    await mounted.unmount();
    await rm(mounted.stateDirectory, { recursive: true });
    const second = await mountRepository({ repository });
    const guest = bootGuest(second.path('vm-01'), join(temporaryFolder('guest'), 'reads'));
    await guest.shows(/GUEST-DONE ok boots=2\b/, 600_000);
    await guest.ended;
    expect(await checksumOf(second.path('vm-01', '2.raw'))).toBe(committed);
  }, 900_000);

  // S4
  test('a mount that nobody used has sent no request in all that time, a minute at least', async () => {
    await passed(Math.max(0, idle.sinceMs + IDLE_MS - Date.now()));
    expect(Date.now() - idle.sinceMs).toBeGreaterThanOrEqual(IDLE_MS);
    expect(idle.proxy.requests()).toEqual([]);
    expect(await readRange(idle.mount.path('debian-12'), 0, 512)).toEqual(await readRange(original, 0, 512));
  });
});
