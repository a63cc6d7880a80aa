import { beforeEach, expect, test } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { printable } from '../../mount/cli/printable.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { copiedFixture, type VerbWorld } from '../helpers/verbs.js';

cleanUpAfter('each');

let world: VerbWorld;
beforeEach(() => {
  world = copiedFixture();
});

const EVIL = 'red \u001b[31m\u009b2J\u202eback\nnewest: 99';

test('a label that would drive the terminal is shown by its codes, and is one line; programs get it whole', async () => {
  const { url, folder, text, json } = world;
  writeFileSync(join(folder, 'disk.raw'), 'disk');
  await text('import', url, join(folder, 'disk.raw'), 'evil', '--label', EVIL);
  const shown = String.raw`red \u001b[31m\u009b2J\u202eback\nnewest: 99`;
  expect(await text('list', url)).toContain(`  ${shown}\n`);
  expect(await text('list', url, 'evil')).toContain(`  ${shown}\n`);
  expect((await text('info', url, 'evil')).split('\n')).toContain(`label:         ${shown}`);
  expect(await json('info', url, 'evil')).toMatchObject({ label: EVIL });
});

test('what an error repeats of a command line does not drive the terminal either', async () => {
  const { status, err } = await world.run('list', world.url, 'a', 'b\u001b[2J');
  expect(status).toBe(2);
  expect(err).not.toContain('\u001b');
});

test('text of any language, and the ends of lines, stay', () => {
  const text = 'Größe: 数 ✓ 🙂 עברית\nsecond\n';
  expect(printable(text)).toBe(text);
});
