import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEarly, takeEarly } from '../../mount/service/early-start.js';
import { isAlive } from '../helpers/processes.js';
import { waitFor } from '../helpers/waiting.js';

const asRoot = process.getuid?.() === 0 ? test : test.skip;

let folder: string;
let program: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lazydisk-early-'));
  program = join(folder, 'program.cjs');
  // Says who it is, answers its first message, and ends with the pipe.
  writeFileSync(
    program,
    `require('fs').writeFileSync(${JSON.stringify(join(folder, 'pid'))}, String(process.pid));
     process.stderr.write('last words');
     process.once('message', (message) => process.send({ got: message }));
     process.once('disconnect', () => process.exit());`,
  );
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const environment = (): NodeJS.ProcessEnv => ({ ...process.env, LAZYDISK_RUNTIME_DIR: join(folder, 'run') });

asRoot('what was started early is taken once, with its crash file under the name of the mount', async () => {
  startEarly(['mount', 'file:///x', '/mnt'], environment(), program);
  const errorFile = join(folder, 'run', 'mount.stderr');
  const child = takeEarly(errorFile)!;
  expect(takeEarly(errorFile)).toBeUndefined();
  const answer = new Promise((resolve) => child.once('message', resolve));
  child.send({ settings: 1 });
  expect(await answer).toEqual({ got: { settings: 1 } });
  await waitFor('it has said its last words', () => readFileSync(errorFile, 'utf8') === 'last words');
  expect(readdirSync(join(folder, 'run'))).toEqual(['mount.stderr']);
  child.disconnect();
  await waitFor('it has ended', () => !isAlive(child.pid!));
});

asRoot('one that has ended already is not taken', async () => {
  const pidFile = join(folder, 'pid');
  writeFileSync(
    program,
    `require('fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); process.exit(1);`,
  );
  startEarly(['mount', 'file:///x', '/mnt'], environment(), program);
  const pid = await waitFor('it has said its number', () => existsSync(pidFile) && readFileSync(pidFile, 'utf8'));
  // Not only dead: Node has heard of it.
  await waitFor('it has ended', () => !existsSync(`/proc/${pid}`));
  expect(takeEarly(join(folder, 'run', 'mount.stderr'))).toBeUndefined();
});

test.each([[['list', 'mount']], [['mount', '--help']], [['mount', 'file:///x', '/mnt', '--foreground']], [[]]])(
  'nothing is started for %j',
  (words) => {
    startEarly(words, environment(), program);
    expect(takeEarly(join(folder, 'mount.stderr'))).toBeUndefined();
    expect(readdirSync(folder)).toEqual(['program.cjs']);
  },
);
