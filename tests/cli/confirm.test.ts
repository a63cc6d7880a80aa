/** The question before something is taken away, on a real terminal and where there is none. */
import { beforeEach, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { start, type Ended, type Running } from '../helpers/processes.js';
import { copiedFixture, type VerbWorld } from '../helpers/verbs.js';
import { waitFor } from '../helpers/waiting.js';

cleanUpAfter('each');

let world: VerbWorld;
beforeEach(() => {
  world = copiedFixture();
});

/** Runs it on a terminal; `redirection` as a shell has it. */
function onTerminal(words: readonly string[], redirection = ''): Running {
  const line = [process.execPath, resolve('dist/mount/cli/main.js'), ...words].map((word) => `'${word}'`).join(' ');
  return start('script', ['-qec', `${line} ${redirection}`, '/dev/null'], {
    env: { HOME: world.folder, LAZYDISK_RUNTIME_DIR: world.folder, SHELL: undefined, TERM: 'xterm' },
  });
}

/** Runs it on a terminal, and answers when it asks. */
async function answered(answer: string, ...words: string[]): Promise<Ended> {
  return (await asked(words))(answer);
}

/** Runs it on a terminal until it asks; what is returned answers. */
async function asked(words: readonly string[]): Promise<(answer: string) => Promise<Ended>> {
  const terminal = onTerminal(words);
  const early = terminal.ended.then(({ stdout }) => {
    throw new Error(`it ended without asking: ${stdout}`);
  });
  await Promise.race([early, waitFor('it asks', () => terminal.output().includes('[y/N]'))]);
  return (answer) => {
    terminal.write(answer);
    return terminal.ended;
  };
}

const END_OF_INPUT = '\u0004';
const INTERRUPT = '\u0003';

const living = async (): Promise<number[]> =>
  (await (await world.repository()).listImage('debian-12')).snapshots.map(({ number }) => number);

const lockHolder = async (): Promise<string | undefined> => (await (await world.repository()).readLock('vm-01'))?.host;

// S103
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

// S61, S103
test('forget says on a terminal what would go, and lets it go after a yes alone', async () => {
  const words = ['forget', world.url, '--all', '--keep-last', '1'];
  const no = await answered('n\r', ...words);
  expect(no).toMatchObject({ status: 1, stdout: expect.stringContaining('Nothing was forgotten.') });
  expect(no.stdout).toMatch(/debian-12@4 .* FORGET\r\n(.*\r\n)*4 of 8 snapshots would be forgotten\r\n.*Forget them\?/);
  expect(await living()).toEqual([1, 2, 4, 5]);
  expect(await answered('y\r', ...words)).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('4 of 8 snapshots are forgotten'),
  });
  expect(await living()).toEqual([5]);
  expect(await onTerminal(words).ended).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^SNAPSHOT[^?]*0 of 4 snapshots are forgotten\r\n$/),
  });
}, 120_000);

// S59
test.each([
  ['delete', 'debian-12@1', '--untag'],
  ['forget', 'debian-12', '--keep-last', '3', '--untag'],
])(
  'a tag that is moved while %s asks stays',
  async (verb, ...words) => {
    for (const tag of ['old', 'stable']) await world.json('tag', world.url, 'debian-12@1', tag);
    const answer = await asked([verb, world.url, ...words]);
    await world.json('tag', world.url, 'debian-12@5', 'stable');
    expect(await answer('y\r')).toMatchObject({ status: 0 });
    expect(await living()).toEqual([2, 4, 5]);
    expect(await world.json('tag', world.url, 'debian-12')).toMatchObject({ tags: [{ tag: 'stable', number: 5 }] });
  },
  120_000,
);

test('a question that nobody would see is not asked', async () => {
  const errors = join(world.folder, 'errors');
  const { status } = await onTerminal(['delete', world.url, 'debian-12@1'], `2>'${errors}'`).ended;
  expect({ status, said: readFileSync(errors, 'utf8') }).toEqual({
    status: 2,
    said: expect.stringMatching(/^lazydisk: Deleting debian-12@1 needs --yes when nobody can be asked\.$/m),
  });
  expect(await living()).toEqual([1, 2, 4, 5]);
});

// S103
test('where nobody can be asked, --yes has to be there', async () => {
  const unlock = await world.run('unlock', world.url, 'vm-01');
  expect(unlock).toMatchObject({ status: 2, out: '' });
  expect(unlock.err).toMatch(/^lazydisk: Taking the lock of vm-01 from .* needs --yes when nobody can be asked\.$/m);
  expect(await lockHolder()).toBeDefined();
  const removal = await world.run('delete', world.url, 'debian-12@1');
  expect(removal).toMatchObject({ status: 2, out: '' });
  expect(removal.err).toContain('Deleting debian-12@1 needs --yes when nobody can be asked.');
  // Also where nothing would go: a script learns of it on its first day.
  for (const most of ['1', '9']) {
    const forget = await world.run('forget', world.url, '--all', '--keep-last', most);
    expect(forget).toMatchObject({ status: 2, out: '' });
    expect(forget.err).toContain('Forgetting snapshots needs --yes when nobody can be asked.');
  }
  expect(await living()).toEqual([1, 2, 4, 5]);
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
