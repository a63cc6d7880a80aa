import { describe, expect, test } from '@jest/globals';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { repositoryWithImage } from '../helpers/images.js';
import { control, mountRepository } from '../helpers/mounts.js';
import { must } from '../helpers/processes.js';
import { lazydisk } from '../helpers/program.js';
import { describeS3 } from '../helpers/repositories.js';

/** All that lies below a folder, relative to it, the folder itself as `.`. */
async function everythingIn(folder: string): Promise<string[]> {
  return ['.', ...(await readdir(folder, { recursive: true }))];
}

/** What others than the owner may do with something below `folder`, given what the folders above it let them. */
async function openToOthers(folder: string): Promise<string[]> {
  const closed: string[] = [];
  const open: string[] = [];
  for (const path of (await everythingIn(folder)).sort()) {
    if (closed.some((above) => path.startsWith(`${above}/`))) continue;
    const found = await lstat(join(folder, path));
    if ((found.mode & 0o077) === 0) closed.push(path);
    else if (!found.isDirectory()) open.push(`${path} ${(found.mode & 0o777).toString(8)}`);
  }
  return open;
}

describe('the state directory', () => {
  cleanUpAfter('each');

  test('holds nothing that others than its owner can read or write, while mounted and after', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 3 0 1M', mounted.path(name)]);
    await control(mounted.path(name, 'control'), 'commit');
    expect(await openToOthers(mounted.stateDirectory)).toEqual([]);
    await mounted.unmount();
    expect(await openToOthers(mounted.stateDirectory)).toEqual([]);
  });
});

describeS3('credentials', () => {
  cleanUpAfter('each');

  test('are in no log, state, status, command line or message, also when the store refuses them', async () => {
    const { repository, name } = await repositoryWithImage('s3');
    const secret = repository.env['AWS_SECRET_ACCESS_KEY']!;
    expect(secret.length).toBeGreaterThan(8);
    const mounted = await mountRepository({ repository });
    await must('qemu-io', ['-f', 'raw', '-c', 'write -P 3 0 1M', mounted.path(name)]);
    await control(mounted.path(name, 'control'), 'commit');
    const texts = [
      await readFile(join(mounted.mountpoint, 'status'), 'utf8'),
      await readFile(join(mounted.mountpoint, 'control'), 'utf8'),
      await readFile(`/proc/${String(mounted.daemonPid)}/cmdline`, 'utf8'),
      await readFile(`/proc/${String(mounted.supervisorPid)}/cmdline`, 'utf8'),
      await readFile('/proc/self/mounts', 'utf8'),
    ];
    await mounted.unmount();
    // A wrong secret: the server has much to say about signatures.
    const env = { ...repository.env, AWS_SECRET_ACCESS_KEY: `not-${secret}` };
    for (const words of [
      ['list', repository.url],
      ['mount', repository.url, mounted.mountpoint, '--state', mounted.stateDirectory],
    ]) {
      const refused = await lazydisk(words, { env });
      expect(refused.status).toBe(5);
      texts.push(refused.stdout, refused.stderr);
    }
    let looked = 0;
    for (const path of await everythingIn(mounted.stateDirectory)) {
      const whole = join(mounted.stateDirectory, path);
      if (!(await lstat(whole)).isFile() || path.startsWith('mirror')) continue;
      texts.push(await readFile(whole, 'latin1'));
      looked++;
    }
    expect(looked).toBeGreaterThan(3);
    for (const text of texts) expect(text.includes(secret)).toBe(false);
  });
});
