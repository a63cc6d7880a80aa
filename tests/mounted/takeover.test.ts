import { beforeEach, expect, test } from '@jest/globals';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlClient } from '../../mount/service/control-client.js';
import { SOCKET_NAME } from '../../mount/service/control-protocol.js';
import { GIVE_UP_AFTER, QUICK_DEATH_MS } from '../../mount/service/succession.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { readRange } from '../helpers/contents.js';
import { describeWith } from '../helpers/driver.js';
import { commit, MIB, repositoryWithImage } from '../helpers/images.js';
import { mountAgain, mountRepository, type MountedTest } from '../helpers/mounts.js';
import { childrenOf, isAlive, must, start } from '../helpers/processes.js';
import { lazydisk, lazydiskJson } from '../helpers/program.js';
import { temporaryFolder } from '../helpers/temporary.js';
import { waitFor } from '../helpers/waiting.js';

const FIO = [
  ...['--name=v', '--rw=randrw', '--bs=4k', '--size=32M', '--ioengine=libaio', '--iodepth=16', '--direct=1'],
  ...['--verify=crc32c', '--verify_fatal=1', '--do_verify=1', '--verify_state_save=0', '--time_based', '--runtime=10'],
];

const describeTakeover = describeWith('taking over');

async function log(mounted: MountedTest): Promise<{ message: string }[]> {
  const text = await readFile(join(mounted.stateDirectory, 'daemon.log'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { message: string });
}

async function messages(mounted: MountedTest): Promise<string[]> {
  return (await log(mounted)).map(({ message }) => message);
}

/** Asks the daemon for what `lazydisk restart` asks it for, but with a program that does `code`. */
async function restartInto(mounted: MountedTest, code: string): Promise<void> {
  const program = join(temporaryFolder('program'), 'daemon.cjs');
  await writeFile(program, code);
  await new ControlClient(join(mounted.stateDirectory, SOCKET_NAME)).restart(program);
}

const count = (list: readonly string[], message: string): number => list.filter((each) => each === message).length;
const TAKEN_OVER = 'Taking over from a daemon that is gone.';

/** The pid of the daemon that has taken over from `former`: who asks for a status meanwhile waits for it. */
async function successor(mounted: MountedTest, former: number): Promise<number> {
  const { daemonPid } = await mounted.status();
  expect(daemonPid).not.toBe(former);
  return daemonPid;
}

describeTakeover('the death of a daemon', () => {
  cleanUpAfter('each');
  let mounted: MountedTest;
  let name: string;
  beforeEach(async () => {
    const made = await repositoryWithImage('file');
    name = made.name;
    mounted = await mountRepository({ repository: made.repository });
  });

  // S56
  test('is not seen by a program that reads and writes: no error, and every byte is as it was written', async () => {
    const fio = start('fio', [`--filename=${mounted.path(name)}`, ...FIO]);
    let daemon = mounted.daemonPid;
    let kills = 0;
    // On a busy machine fio may be over before the third.
    while (kills < 3) {
      const fioIs = await waitFor('fio is at work, and the daemon did not die quickly', async () => {
        if (!isAlive(fio.pid)) return 'over';
        const { hits, startedMs } = await mounted.status();
        return hits > 200 && Date.now() - startedMs > 2 * QUICK_DEATH_MS && 'at work';
      });
      if (fioIs === 'over') break;
      await mounted.killDaemon();
      daemon = await successor(mounted, daemon);
      kills++;
    }
    expect(kills).toBeGreaterThan(0);
    const ended = await fio.ended;
    expect({ status: ended.status, stderr: ended.stderr }).toEqual({ status: 0, stderr: '' });
    expect(ended.stdout).toContain('err= 0');
    expect(count(await messages(mounted), TAKEN_OVER)).toBe(kills);
    await mounted.unmount();
  });

  test('leaves node ids, open descriptors and what was written as they were, and commits go on', async () => {
    const file = await open(mounted.path(name), 'r+');
    const listing = await open(mounted.path(name, 'status'), 'r');
    await file.write('before', 4096);
    const before = await file.stat();
    await mounted.killDaemon();
    await file.write('after!', 8192);
    const bytes = Buffer.alloc(4102);
    await file.read(bytes, 0, bytes.length, 4096);
    expect([bytes.toString('latin1', 0, 6), bytes.toString('latin1', 4096)]).toEqual(['before', 'after!']);
    expect((await file.stat()).ino).toBe(before.ino);
    expect(JSON.parse((await listing.readFile()).toString())).toMatchObject({ image: name });
    await file.close();
    await listing.close();
    const { number } = await commit(mounted, name);
    expect((await readRange(mounted.path(name, `${String(number)}.raw`), 4096, 6)).toString()).toBe('before');
  });

  // S33, S56
  test('is forgotten with the last close: what was open counts as open until then, idle or not, and no longer', async () => {
    const { env } = mounted.repository;
    const revert = () => lazydisk(['revert', mounted.mountpoint, name, '--yes'], { env });
    const [idle, working] = [await open(mounted.path(name), 'r'), await open(mounted.path(name), 'r+')];
    await working.write('to be thrown away', 4096);
    const former = await mounted.killDaemon();
    await successor(mounted, former);
    expect(await revert()).toMatchObject({ status: 4, stderr: expect.stringContaining('is open') });
    await working.write('more of it', 8192);
    await working.close();
    expect(await revert()).toMatchObject({ status: 4, stderr: expect.stringContaining('is open') });
    await idle.close();
    await waitFor('the last close has come', async () => (await revert()).status === 0);
    expect((await readRange(mounted.path(name), 4096, 17)).toString()).not.toBe('to be thrown away');
    expect((await mounted.imageStatus(name)).dirtyBytes).toBe(0);
  });

  // S56
  test('under a command: its writer gets EIO, it is not run again, and the next one is', async () => {
    const { env } = mounted.repository;
    const { mountpoint } = mounted;
    await mounted.unmount();
    const slow = await mountAgain(mounted, { options: ['--max-upload', '1M'] });
    await must('dd', ['if=/dev/urandom', `of=${slow.path(name)}`, 'bs=1M', 'count=8', 'conv=notrunc']);
    const command = start('sh', ['-c', 'echo commit > "$1"', 'sh', slow.path(name, 'control')]);
    await waitFor('the commit runs', async () => (await slow.imageStatusFile(name)).committing);
    const former = await slow.killDaemon();
    const { status, stderr } = await command.ended;
    expect({ status: status !== 0, stderr }).toEqual({ status: true, stderr: expect.stringMatching(/I\/O error/) });
    await successor(slow, former);
    expect((await slow.status()).runningCommands).toBe(0);
    expect(await readdir(join(mountpoint, name))).not.toContain('2.raw');
    await lazydiskJson(['restart', mountpoint], { env });
    expect((await commit(slow, name)).number).toBe(2);
  });

  // S46, S56
  test('leaves flat files as the kernel has them: more descriptors can be opened, and closed', async () => {
    const { env } = mounted.repository;
    const path = mounted.path(name, '1.raw');
    const cached = await open(mounted.path(name), 'r');
    await lazydiskJson(['flatten', mounted.mountpoint, `${name}@1`], { env });
    const passed = await open(path, 'r');
    await successor(mounted, await mounted.killDaemon());
    const more = await Promise.all([open(path, 'r'), open(mounted.path(name), 'r')]);
    for (const file of [cached, passed, ...more]) {
      expect((await file.read(Buffer.alloc(4096), 0, 4096, 0)).bytesRead).toBe(4096);
      await file.close();
    }
    const again = await open(path, 'r');
    expect((await again.read(Buffer.alloc(4096), 0, 4096, 0)).bytesRead).toBe(4096);
    await again.close();
    await mounted.unmount();
  });

  // S19
  test('when the supervisor has died before it: the next mount has every acknowledged write', async () => {
    const file = await open(mounted.path(name), 'r+');
    process.kill(mounted.supervisorPid, 'SIGKILL');
    await waitFor('the supervisor is gone', () => !isAlive(mounted.supervisorPid));
    await file.write('served without a supervisor', 4096);
    await waitFor('the daemon has noticed', async () =>
      (await messages(mounted)).some((message) => message.startsWith('The supervisor is gone')),
    );
    process.kill(mounted.daemonPid, 'SIGKILL');
    await waitFor('the daemon is gone', () => !isAlive(mounted.daemonPid));
    await expect(file.write('x', 0)).rejects.toMatchObject({ code: expect.stringMatching(/ENOTCONN|ECONNABORTED/) });
    await file.close();
    const again = await mountAgain(mounted);
    expect((await readRange(again.path(name), 4096, 27)).toString()).toBe('served without a supervisor');
  });

  // S57
  test('again and again is given up after a bounded number of tries: requests fail, and the log says why', async () => {
    const file = await open(mounted.path(name), 'r+');
    let kills = 0;
    await waitFor('the supervisor gives up', async () => {
      const [pid] = await childrenOf(mounted.supervisorPid);
      if (pid !== undefined) {
        process.kill(pid, 'SIGKILL');
        await waitFor('it is gone', () => !isAlive(pid));
        kills++;
      }
      return !isAlive(mounted.supervisorPid);
    });
    // A daemon that a busy machine let live for a second began the count anew.
    expect(kills).toBeGreaterThanOrEqual(GIVE_UP_AFTER);
    await expect(file.read(Buffer.alloc(4096), 0, 4096, 16 * MIB)).rejects.toMatchObject({
      code: expect.stringMatching(/ENOTCONN|ECONNABORTED/),
    });
    await file.close();
    expect((await messages(mounted)).at(-1)).toMatch(/again and again/);
    const again = await mountAgain(mounted);
    expect((await readRange(again.path(name), 0, 4096)).length).toBe(4096);
  });
});

describeTakeover('lazydisk restart', () => {
  cleanUpAfter('each');

  test('lets another daemon take over a mount in use, and one that is not in use ends in order afterwards', async () => {
    const { repository, name } = await repositoryWithImage('file');
    const mounted = await mountRepository({ repository });
    const file = await open(mounted.path(name), 'r+');
    await file.write('kept', 4096);
    const { env } = repository;
    const restarted = await lazydiskJson(['restart', mounted.mountpoint], { env });
    const { daemonPid } = await mounted.status();
    expect(restarted).toEqual({ mountpoint: mounted.mountpoint, daemonPid, formerPid: mounted.daemonPid });
    expect(daemonPid).not.toBe(mounted.daemonPid);
    const bytes = Buffer.alloc(4);
    await file.read(bytes, 0, 4, 4096);
    expect(bytes.toString()).toBe('kept');
    await file.close();
    await mounted.unmount();
    expect(isAlive(daemonPid)).toBe(false);
    expect((await messages(mounted)).at(-1)).toBe('Ended.');
  });

  // S70
  test('into a program that can’t be loaded is refused, and the daemon serves on as if nothing had been', async () => {
    const { repository, name } = await repositoryWithImage('file');
    const mounted = await mountRepository({ repository });
    const file = await open(mounted.path(name), 'r+');
    await file.write('kept', 4096);
    await expect(restartInto(mounted, `throw new Error('broken')`)).rejects.toMatchObject({
      code: 'IO',
      message: 'The new daemon could not be started (exit status 1): the one that serves goes on.',
    });
    expect((await mounted.status()).daemonPid).toBe(mounted.daemonPid);
    expect(await childrenOf(mounted.supervisorPid)).toEqual([mounted.daemonPid]);
    await file.write('more', 8192);
    await file.close();
    // A sound one takes over afterwards.
    const { env } = repository;
    expect(await lazydiskJson(['restart', mounted.mountpoint], { env })).toMatchObject({
      formerPid: mounted.daemonPid,
    });
    expect((await readRange(mounted.path(name), 8192, 4)).toString()).toBe('more');
    await mounted.unmount();
  });

  // S70
  test('into a program that loads and can’t serve falls back to the one that did: open files go on', async () => {
    const { repository, name } = await repositoryWithImage('file');
    const mounted = await mountRepository({ repository });
    const file = await open(mounted.path(name), 'r+');
    await file.write('kept', 4096);
    await restartInto(mounted, `process.once('message', () => process.exit(3)); process.send({ kind: 'waiting' })`);
    const bytes = Buffer.alloc(4);
    await file.read(bytes, 0, 4, 4096);
    expect(bytes.toString()).toBe('kept');
    await file.close();
    await successor(mounted, mounted.daemonPid);
    expect(await log(mounted)).toContainEqual(
      expect.objectContaining({
        message: 'The program of a restart could not serve: the one before it goes on.',
        how: 'exit status 3',
      }),
    );
    await mounted.unmount();
  });

  test('is refused where nobody can take over; such a mount says so at its start, and ends with its daemon', async () => {
    const { repository, name } = await repositoryWithImage('file');
    const mounted = await mountRepository({ repository, env: { LAZYDISK_FUSE_WITHOUT: 'resend,passthrough' } });
    const { env } = repository;
    expect(await lazydisk(['restart', mounted.mountpoint], { env })).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('6.9'),
    });
    expect((await readRange(mounted.path(name), 0, 4096)).length).toBe(4096);
    await mounted.killDaemon();
    await waitFor('the supervisor has ended', () => !isAlive(mounted.supervisorPid));
    await expect(readRange(mounted.path(name), 0, 1)).rejects.toThrow(/ENOTCONN|ECONNABORTED/);
    expect((await messages(mounted)).at(-1)).toMatch(/can’t send requests again/);
  });
});
