/** The question before something is taken away, on a real terminal and where there is none. */
import { beforeEach, expect, test } from '@jest/globals';
import { resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { start, type Ended } from '../helpers/processes.js';
import { copiedFixture, type VerbWorld } from '../helpers/verbs.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

let world: VerbWorld;
beforeEach(() => {
  world = copiedFixture();
});

/** Runs it on a terminal, and answers when it asks. */
async function answered(answer: string, ...words: string[]): Promise<Ended> {
  const line = [process.execPath, resolve('dist/mount/cli/main.js'), ...words].map((word) => `'${word}'`).join(' ');
  const terminal = start('script', ['-qec', line, '/dev/null'], {
    env: { HOME: world.folder, LAZYDISK_RUNTIME_DIR: world.folder, SHELL: undefined, TERM: 'xterm' },
  });
  await waitFor('it asks', () => terminal.output().includes('[y/N]'));
  terminal.write(answer);
  return terminal.ended;
}

const END_OF_INPUT = '\u0004';
const INTERRUPT = '\u0003';

const lockHolder = async (): Promise<string | undefined> => (await (await world.repository()).readLock('vm-01'))?.host;

test('unlock says whose lock it is, and takes it after a yes alone', async () => {
  const host = await lockHolder();
  expect(host).toBeDefined();
  for (const answer of ['n\r', '\r', 'yesterday\r', END_OF_INPUT, INTERRUPT]) {
    const { status, stdout } = await answered(answer, 'unlock', world.url, 'vm-01');
    expect({ answer, status, stdout }).toEqual({ answer, status: 1, stdout: expect.stringContaining('Nothing was') });
    expect(stdout).toContain(`Take the lock of vm-01 from ${host!}`);
  }
  expect(await lockHolder()).toBe(host);
  expect(await answered('yes\r', 'unlock', world.url, 'vm-01')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/vm-01 was locked by .*; it is not any more/),
  });
  expect(await lockHolder()).toBeUndefined();
}, 120_000);

test('where nobody can be asked, --yes has to be there', async () => {
  const unlock = await world.run('unlock', world.url, 'vm-01');
  expect(unlock).toMatchObject({ status: 2, out: '' });
  expect(unlock.err).toMatch(/^lazydisk: Taking the lock of vm-01 from .* needs --yes when nobody can be asked\.$/m);
  expect(await lockHolder()).toBeDefined();
  const removal = await world.run('delete', world.url, 'debian-12@1');
  expect(removal).toMatchObject({ status: 2, out: '' });
  expect(removal.err).toContain('Deleting debian-12@1 needs --yes when nobody can be asked.');
  expect(await world.json('unlock', world.url, 'vm-01', '--yes')).toMatchObject({
    unlocked: true,
    lock: expect.any(Object),
  });
  expect(await lockHolder()).toBeUndefined();
  expect(await world.text('unlock', world.url, 'vm-01')).toBe('vm-01 was not locked\n');
});

test('a lock whose record is damaged can be taken away', async () => {
  const { store } = await world.repository();
  await store.put('images/vm-01/writer.json', Buffer.from('{'));
  expect((await world.run('unlock', world.url, 'vm-01')).err).toContain(
    'from somebody whose record is damaged needs --yes',
  );
  expect(await world.json('unlock', world.url, 'vm-01', '--yes')).toEqual({
    image: 'vm-01',
    unlocked: true,
    lock: null,
  });
  expect(await lockHolder()).toBeUndefined();
});
