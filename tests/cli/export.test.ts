import { beforeEach, expect, test } from '@jest/globals';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { copiedFixture, type VerbWorld } from '../helpers/verbs.js';

cleanUpAfter('each');

let world: VerbWorld;
beforeEach(() => {
  world = copiedFixture();
});

test('a raw disk is not written under the name of another format, unless that is said', async () => {
  const { url, folder, run } = world;
  const file = join(folder, 'disk.QCOW2');
  const { status, err } = await run('export', url, 'vm-01', file);
  expect(status).toBe(2);
  expect(err).toContain(`${file} would be a raw disk: add --format qcow2, or --format raw if that is meant.`);
  expect(existsSync(file)).toBe(false);
  expect(await run('export', url, 'vm-01', file, '--format', 'raw')).toMatchObject({ status: 0 });
  expect(statSync(file).size).toBe((await (await world.repository()).readRecord('vm-01', 2)).sizeBytes);
});

test('a folder that is not there is named', async () => {
  const { url, folder, run } = world;
  const { status, err } = await run('export', url, 'vm-01', join(folder, 'missing', 'disk.raw'));
  expect({ status, err }).toEqual({
    status: 3,
    err: `lazydisk: There is no folder ${join(folder, 'missing')} to write disk.raw to.\n`,
  });
});
