import { describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { checksumOf } from '../helpers/contents.js';
import { testDriver } from '../helpers/driver.js';
import { MIB, repositoryWithImage } from '../helpers/images.js';
import { control, mountRepository } from '../helpers/mounts.js';
import { must, run } from '../helpers/processes.js';

const write = (path: string, value: number): Promise<string> =>
  must('qemu-io', ['-f', 'raw', '-c', `write -P ${String(value)} 0 1M`, path]);

describe('control and status files', () => {
  cleanUpAfter('each');

  test('echo commit > control publishes a snapshot with its label', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    await write(mounted.path(name), 3);

    await must('bash', ['-c', `echo "commit first try" > "${mounted.path(name, 'control')}"`]);
    expect(await checksumOf(mounted.path(name, '2.raw'))).toBe(await checksumOf(mounted.path(name)));
    expect(
      await must('node', ['dist/mount/cli/main.js', 'list', repository.url, name], { env: repository.env }),
    ).toMatch(/first try/);
  });

  test('the descriptor that wrote a command reads its outcome; another one reads the last outcomes', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    await write(mounted.path(name), 4);

    const outcome = JSON.stringify(await control(mounted.path(name, 'control'), 'commit'));
    expect(outcome).toMatch(/"number":2/);
    expect(await readFile(mounted.path(name, 'control'), 'utf8')).toMatch(/"number":\s*2/);
  });

  test('clone and revert work from the control file', async () => {
    const { repository, name, original } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });

    await control(mounted.path(name, 'control'), 'clone twin');
    expect(await checksumOf(mounted.path('twin'))).toBe(await checksumOf(original));
    await write(mounted.path('twin'), 5);
    expect(await checksumOf(mounted.path('twin'))).not.toBe(await checksumOf(original));
    await control(mounted.path('twin', 'control'), 'revert');
    expect(await checksumOf(mounted.path('twin'))).toBe(await checksumOf(original));
  });

  test('revert is refused with EBUSY while the head is open', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const held = `exec 3<>"${mounted.path(name)}"; echo revert > "${mounted.path(name, 'control')}"`;
    const refused = await run('bash', ['-c', held], { env: { LC_ALL: 'C' } });
    expect(refused.stderr).toMatch(/Device or resource busy/);
  });

  test('an unknown command gets EINVAL', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const refused = await run('bash', ['-c', `echo explode > "${mounted.path(name, 'control')}"`], {
      env: { LC_ALL: 'C' },
    });
    expect(refused.stderr).toMatch(/Invalid argument/);
  });

  test('status is JSON with a schema version and units in its names, and counts what is dirty', async () => {
    const { repository, name } = await repositoryWithImage();
    const mounted = await mountRepository({ repository });
    const clean = await mounted.imageStatusFile(name);
    expect(clean.dirtyBytes).toBe(0);
    expect(clean.baseNumber).toBe(1);
    await write(mounted.path(name), 6);
    expect((await mounted.imageStatusFile(name)).dirtyBytes).toBe(MIB);

    const whole = JSON.parse(await readFile(join(mounted.mountpoint, 'status'), 'utf8')) as Record<string, unknown>;
    expect(whole['schemaVersion']).toBe(1);
    expect(whole['health']).toBe('ok');
    expect(typeof whole['fetchedBytes']).toBe('number');
    const { daemonPid, stateDirectory, driver } = await mounted.status();
    expect([daemonPid > 0, stateDirectory, driver]).toEqual([true, mounted.stateDirectory, testDriver]);
  });
});
