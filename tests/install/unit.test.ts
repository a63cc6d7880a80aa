/** The unit for systemd, as systemd reads it. */
import { expect, test } from '@jest/globals';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { type Ended, run } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const SOURCE = 'mount/install/systemd/lazydisk@.service';

/** Has systemd look at the unit, installed below a folder where the program only has to exist. */
async function verify(change: (unit: string) => string = (unit) => unit): Promise<Ended> {
  const prefix = temporaryFolder('unit');
  await mkdir(join(prefix, 'bin'));
  await symlink(process.execPath, join(prefix, 'bin/lazydisk'));
  const file = join(prefix, 'lazydisk@.service');
  await writeFile(file, change((await readFile(SOURCE, 'utf8')).replaceAll('@PREFIX@', prefix)));
  return run('systemd-analyze', ['verify', '--man=no', file]);
}

test('systemd has nothing to say against it', async () => {
  expect(await verify()).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
});

test('systemd would say it', async () => {
  const program = await verify((unit) => unit.replaceAll(/=\/.*\/lazydisk /g, '=/nowhere/lazydisk '));
  expect(program.status).not.toBe(0);
  expect(program.stderr).toContain('/nowhere/lazydisk is not executable');
  const misspelled = await verify((unit) => unit.replace('TimeoutStopSec', 'TimeoutStopSecs'));
  expect(misspelled.stderr).toMatch(/Unknown key.*TimeoutStopSecs/);
});

test('has one placeholder, for where the program is installed', async () => {
  const unit = await readFile(SOURCE, 'utf8');
  expect(new Set(unit.match(/@[A-Z_]+@/g))).toEqual(new Set(['@PREFIX@']));
});
