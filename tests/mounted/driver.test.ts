import { describe, expect, test } from '@jest/globals';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { testDriver, testOn } from '../helpers/driver.js';
import { repositoryWithImage } from '../helpers/images.js';
import { mountRepository } from '../helpers/mounts.js';
import { must, run } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';

describe('the driver of a mount', () => {
  cleanUpAfter('each');

  test('is the one that was asked for, and the kernel lists both alike', async () => {
    const { repository } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    expect((await mounted.status()).driver).toBe(testDriver);
    const line = (await readFile('/proc/self/mounts', 'utf8'))
      .split('\n')
      .find((one) => one.includes(mounted.mountpoint));
    expect(line).toMatch(/^file:\S+ \S+ fuse\.lazydisk rw,nosuid,nodev,/);
  });

  // S44
  test('that can not be loaded is refused with one sentence that says what to install', async () => {
    const { repository } = await repositoryWithImage();
    const folder = temporaryFolder('driver');
    await mkdir(join(folder, 'mnt'));
    // A name space of its own, in which libfuse 2 is an empty file.
    const hidden =
      'set -e; for lib in $(ldconfig -p | sed -n "s/.*libfuse\\.so\\.2 .*=> //p"); do mount --bind /dev/null "$lib"; done; exec "$@"';
    const words = ['mount', repository.url, join(folder, 'mnt'), '--state', join(folder, 'state')];
    const mount = (driver: string) =>
      run(
        'unshare',
        [
          '--mount',
          'bash',
          '-c',
          hidden,
          '-',
          process.execPath,
          'dist/mount/cli/main.js',
          ...words,
          '--driver',
          driver,
        ],
        { env: { ...repository.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` } },
      );
    const { status, stdout, stderr } = await mount('fuse-native');
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^lazydisk: [^\n]*needs libfuse 2[^\n]*apt install libfuse2[^\n]*\n$/);
  });

  // S44
  testOn('fuse-native')(
    'fuse-native refuses to punch holes and to map shared memory, and says data for the whole of a file',
    async () => {
      const { repository, name, sizeBytes } = await repositoryWithImage();
      const mounted = await mountRepository({ repository });
      const path = mounted.path(name);
      const punched = await run('fallocate', ['-p', '-o', '0', '-l', '4096', path], { env: { LC_ALL: 'C' } });
      expect(punched.stderr).toMatch(/unsupported|not supported/);
      const script = `
import errno, mmap, os, sys
f = os.open(sys.argv[1], os.O_RDWR)
print(os.lseek(f, 0, os.SEEK_DATA), os.lseek(f, 0, os.SEEK_HOLE))
try: mmap.mmap(f, 4096, mmap.MAP_SHARED)
except OSError as e: print(errno.errorcode[e.errno])`;
      expect((await must('python3', ['-c', script, path])).trim().split('\n')).toEqual([
        `0 ${String(sizeBytes)}`,
        'ENODEV',
      ]);
    },
  );
});
