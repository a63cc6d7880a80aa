/** The local disk fails or is full under a mount: the cache lies on a file system that is told to fail (tests/power), the state on a small one. */
import { expect } from '@jest/globals';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf, readRange } from '../helpers/contents.js';
import { testOn, testWith } from '../helpers/driver.js';
import { commit, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository } from '../helpers/mounts.js';
import { childrenOf, must, run } from '../helpers/processes.js';
import { SmallDisk } from '../helpers/small-disk.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';
import { PowerDisk } from '../power/power-disk.js';

cleanUpAfter('each');

// S14
testOn('kernel')(
  'EIO of the local disk is EIO to the reader, once; then the chunk is fetched anew, and it alone',
  async () => {
    const disk = PowerDisk.start();
    const { repository, name, original } = await repositoryWithImage('file');
    const options = ['--cache', join(await disk.mount(), 'cache')];
    const mounted = await mountRepository({ repository, options });
    const sum = await checksumOf(original);
    expect(await checksumOf(mounted.path(name))).toBe(sum);
    await mounted.unmount();

    // Opened anew, nothing of the slots is in the page cache.
    const again = await mountAgain(mounted, { options });
    await disk.inject({ operation: 'read', name: 'slots', errno: 'EIO', times: 1000 });
    // As a hypervisor without a cache of its own: to others the kernel may hide it, by asking again.
    const read = [
      'bs=64k',
      'count=1',
      'iflag=direct',
      `if=${again.path(name)}`,
      `of=${join(temporaryFolder('read'), 'first')}`,
    ];
    expect(await run('dd', read, { env: { LC_ALL: 'C' } })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Input/output error'),
    });
    await must('dd', read);
    await disk.inject();
    const { fetchedBytes } = await again.status();
    expect(fetchedBytes).toBeGreaterThan(0);
    expect(await checksumOf(again.path(name))).toBe(sum);
    expect((await again.status()).fetchedBytes).toBe(fetchedBytes);
    await again.unmount();
  },
);

// S26
testOn('kernel')(
  'ENOSPC of the local disk is ENOSPC to the writer; what was written stays whole, and with room again all goes on',
  async () => {
    const { disk, mounted, name, file } = await writtenAndFull();
    await expect(file.write(Buffer.alloc(MIB, 2), 0, MIB, 8 * MIB)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect((await readRange(mounted.path(name), 0, MIB)).equals(Buffer.alloc(MIB, 1))).toBe(true);
    await disk.makeRoom();
    await file.write(Buffer.alloc(MIB, 3), 0, MIB, 8 * MIB);
    await file.sync();
    await file.close();
    const { number } = await commit(mounted, name);
    const committed = mounted.path(name, `${String(number)}.raw`);
    expect((await readRange(committed, 0, MIB)).equals(Buffer.alloc(MIB, 1))).toBe(true);
    expect((await readRange(committed, 8 * MIB, MIB)).equals(Buffer.alloc(MIB, 3))).toBe(true);
    await mounted.unmount();
  },
);

// S57
testWith('taking over')(
  'a daemon that dies while the disk is full is followed once there is room: who reads waits, and gets no error',
  async () => {
    const { disk, mounted, file } = await writtenAndFull();
    await mounted.killDaemon();
    const bytes = Buffer.alloc(MIB);
    const reading = file.read(bytes, 0, MIB, 0);
    const begun = new Set<number>();
    // Had a request killed them, what is sent again would be refused by the fourth.
    await waitFor('three have come and gone', async () => {
      for (const pid of await childrenOf(mounted.supervisorPid)) begun.add(pid);
      return begun.size > 3;
    });
    await disk.makeRoom();
    await reading;
    expect(bytes.equals(Buffer.alloc(MIB, 1))).toBe(true);
    await file.write(Buffer.alloc(MIB, 2), 0, MIB, 8 * MIB);
    await file.close();
    await mounted.unmount();
  },
);

/** A head with one MiB of ones, open, on a disk that is full by now. */
async function writtenAndFull() {
  const disk = await SmallDisk.mount(64 * MIB);
  const { repository, name } = await repositoryWithImage('file');
  const mounted = await mountRepository({ repository, stateDirectory: join(disk.folder, 'state') });
  const file = await open(mounted.path(name), 'r+');
  await file.write(Buffer.alloc(MIB, 1), 0, MIB, 0);
  await disk.fill();
  return { disk, mounted, name, file };
}
