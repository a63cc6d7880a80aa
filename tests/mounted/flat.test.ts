import { describe, expect, test } from '@jest/globals';
import { open } from 'node:fs/promises';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf, readRange } from '../helpers/contents.js';
import { testDriver, testWith } from '../helpers/driver.js';
import { commit, MIB, repositoryWithImage } from '../helpers/images.js';
import { type MountedTest, mountAgain, mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { lazydisk, lazydiskJson, mustLazydisk } from '../helpers/program.js';

/** Reads that came to the daemon at all, by workers or on the main thread. */
async function served(mounted: MountedTest): Promise<number> {
  const { hits, forwardedRequests } = await mounted.status();
  return hits + forwardedRequests;
}

describe('a snapshot that is kept as a flat file', () => {
  cleanUpAfter('each');

  // S46
  test('reads the same as before, next to descriptors that were open already, and after a remount', async () => {
    const { repository, name, original } = await repositoryWithImage();
    const { env } = repository;
    const mounted = await mountRepository({ repository });
    const path = mounted.path(name, '1.raw');
    const sum = await checksumOf(original);
    const earlier = await open(path, 'r');
    await earlier.read(Buffer.alloc(4096), 0, 4096, 0);
    const made = await lazydiskJson(['flatten', mounted.mountpoint, `${name}@1`], { env });
    expect(made).toMatchObject({ image: name, number: 1 });
    // Still open in the earlier way: the kernel would refuse a mixture.
    expect(await checksumOf(path)).toBe(sum);
    const bytes = Buffer.alloc(MIB);
    await earlier.read(bytes, 0, MIB, MIB);
    expect(bytes.equals(await readRange(original, MIB, MIB))).toBe(true);
    await earlier.close();
    expect(await checksumOf(path)).toBe(sum);
    // Heads and other snapshots don't see it.
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 3 0 64k', mounted.path(name)]);
    expect((await commit(mounted, name)).number).toBe(2);
    expect(await checksumOf(mounted.path(name, '2.raw'))).not.toBe(sum);
    expect(await checksumOf(path)).toBe(sum);

    await mounted.unmount();
    const again = await mountAgain(mounted);
    expect(await checksumOf(again.path(name, '1.raw'))).toBe(sum);
    expect((await again.status()).fetchedBytes).toBe(0);
  });

  // S46
  testWith('passthrough')('is read by the kernel alone, until it is dropped', async () => {
    const { repository, name, original } = await repositoryWithImage();
    const { env } = repository;
    const mounted = await mountRepository({ repository });
    const path = mounted.path(name, '1.raw');
    await mustLazydisk(['flatten', mounted.mountpoint, `${name}@1`], { env });

    const file = await open(path, 'r');
    const before = await served(mounted);
    const bytes = Buffer.alloc(32 * MIB);
    await file.read(bytes, 0, bytes.length, 0);
    const after = await served(mounted);
    expect(bytes.equals(await readRange(original, 0, bytes.length))).toBe(true);
    // 32 MiB would be 32 requests at least; what remains are those of asking for the status.
    expect(after - before).toBeLessThan(20);
    // Dropped while it is open: who has it open reads on, and the next open is served as ever.
    await mustLazydisk(['flatten', mounted.mountpoint, `${name}@1`, '--drop'], { env });
    await file.read(bytes, 0, bytes.length, 0);
    expect(bytes.equals(await readRange(original, 0, bytes.length))).toBe(true);
    await file.close();
    const served0 = await served(mounted);
    expect(await checksumOf(path)).toBe(await checksumOf(original));
    expect((await served(mounted)) - served0).toBeGreaterThanOrEqual(32);
    expect(await mustLazydisk(['flatten', mounted.mountpoint, `${name}@1`, '--drop'], { env })).toMatch(/no flat file/);
  });

  test('is asked for by its number: a head is no snapshot', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const { env } = repository;
    const head = await lazydisk(['flatten', mounted.mountpoint, name], { env });
    expect({ status: head.status, stderr: head.stderr }).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/@1/),
    });
    expect((await lazydisk(['flatten', mounted.mountpoint, `${name}@9`], { env })).status).toBe(3);
    expect((await mounted.status()).driver).toBe(testDriver);
  });
});
