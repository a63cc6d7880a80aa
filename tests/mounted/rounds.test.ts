import { expect, test } from '@jest/globals';
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { testOn } from '../helpers/driver.js';
import { MIB, repositoryWithImage } from '../helpers/images.js';
import { control, mountAgain, mountRepository, type MountedTest } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';

/** `make torture` asks for a thousand. */
const ROUNDS = Number(process.env['MOUNT_ROUNDS'] ?? 50);

cleanUpAfter('each');

/** What a folder holds, without the names that LevelDB counts up. */
async function contents(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).map((name) => name.replace(/\d{6}\.(ldb|log)$/, 'table'));
  return [...new Set(names.map((name) => name.replace(/MANIFEST-\d+/, 'MANIFEST')))].sort();
}

async function write(mounted: MountedTest, image: string, round: number): Promise<void> {
  const at = `${String((round * 37) % 30)}M`;
  await must('qemu-io', ['-f', 'raw', '-c', `write -P ${String(1 + (round % 200))} ${at} 64k`, mounted.path(image)]);
}

/** What a process has open, by what it is; connections to the store come and go. */
async function descriptors(pid: number): Promise<string[]> {
  const folder = `/proc/${String(pid)}/fd`;
  const open = await Promise.all(
    (await readdir(folder)).map((name) => readlink(join(folder, name)).catch(() => 'gone')),
  );
  return open
    .filter((target) => target !== 'gone' && !target.startsWith('socket:'))
    .map((target) => target.replace(/\d{6}\.(ldb|log)$/, 'table').replace(/:\[\d+\]$/, ''))
    .sort();
}

testOn('kernel')(
  `${String(ROUNDS)} rounds of mounting, writing and unmounting leave nothing behind`,
  async () => {
    const runtime = temporaryFolder('run');
    const env = { LAZYDISK_RUNTIME_DIR: runtime };
    const { repository, name } = await repositoryWithImage('file');
    let mounted = await mountRepository({ repository, env });
    let afterTwo: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      if (round > 0) mounted = await mountAgain(mounted, { env });
      await write(mounted, name, round);
      await readRange(mounted.path(name, '1.raw'), 0, MIB);
      await mounted.unmount();
      if (round === 1) afterTwo = await contents(mounted.stateDirectory);
    }
    expect(await contents(mounted.stateDirectory)).toEqual(afterTwo);
    expect(await readdir(runtime)).toEqual([]);
  },
  60_000 + ROUNDS * 5000,
);

test('fifty opens, commits and reverts leave no descriptor and no thread open', async () => {
  const { repository, name } = await repositoryWithImage('file');
  // One, since others start some time after the mount.
  const mounted = await mountRepository({ repository, options: ['--workers', '1'] });
  const round = async (number: number): Promise<void> => {
    await write(mounted, name, number);
    await control(mounted.path(name, 'control'), number % 2 === 0 ? 'commit' : 'revert');
    await readRange(mounted.path(name, 'latest.raw'), 0, MIB);
  };
  const threads = async (): Promise<number> => (await readdir(`/proc/${String(mounted.daemonPid)}/task`)).length;
  for (let number = 0; number < 10; number += 1) await round(number);
  const before = { descriptors: await descriptors(mounted.daemonPid), threads: await threads() };
  for (let number = 10; number < 60; number += 1) await round(number);
  expect(await descriptors(mounted.daemonPid)).toEqual(before.descriptors);
  // Pools may still grow by a few; a thread a round would be fifty.
  expect(await threads()).toBeLessThan(before.threads + 10);
});
