import { expect, test } from '@jest/globals';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolders } from '../../lib/util/folders.js';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

test('a folder is made with its parents, all with the mode that was asked for, and the topmost new one is told; one that is there is left', async () => {
  const root = temporaryFolder('folders');
  mkdirSync(join(root, 'there'), { mode: 0o755 });
  expect(await makeFolders(join(root, 'there/a/b'), 0o700)).toBe(join(root, 'there/a'));
  expect(await makeFolders(join(root, 'there/a/b'), 0o700)).toBeUndefined();
  const modes = ['there', 'there/a', 'there/a/b'].map((name) => statSync(join(root, name)).mode & 0o777);
  expect(modes).toEqual([0o755, 0o700, 0o700]);
});

test('many that make the same folder at once all succeed', async () => {
  const root = temporaryFolder('folders');
  await Promise.all(Array.from({ length: 20 }, () => makeFolders(join(root, 'a/b/c'))));
  expect(statSync(join(root, 'a/b/c')).isDirectory()).toBe(true);
});

test('a file in the way, and a file system that makes no folders, are errors', async () => {
  const root = temporaryFolder('folders');
  writeFileSync(join(root, 'file'), '');
  await expect(makeFolders(join(root, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeFolders(join(root, 'file/below'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  await expect(makeFolders('/proc/lazydisk/below')).rejects.toMatchObject({ code: 'ENOENT' });
});
