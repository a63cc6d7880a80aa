/** Taking a mount away when the program's own files are gone: as here, where nothing is compiled. */
import { describe, expect, test } from '@jest/globals';
import { closeSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mount, MNT_DETACH, umount2 } from '../../lib/util/syscalls.js';
import { unmountByForce, unmountOrderly } from '../../mount/fuse/unmounting.js';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const asRoot = process.getuid?.() === 0 ? describe : describe.skip;

/** A file system in memory, mounted on a folder, with one file. */
function mounted(): string {
  const folder = temporaryFolder('mounted');
  mount('tmpfs', folder, 'tmpfs', 0, 'size=1m');
  undoLater(() => {
    if (readdirSync(folder).length > 0) umount2(folder, MNT_DETACH);
  });
  writeFileSync(join(folder, 'file'), 'x');
  return folder;
}

asRoot('without the file of the thread that unmounts', () => {
  test('a mount is taken away in order all the same, and one in use is not', async () => {
    const folder = mounted();
    const open = openSync(join(folder, 'file'), 'r');
    await expect(unmountOrderly(folder)).rejects.toMatchObject({ code: 'EBUSY' });
    expect(readdirSync(folder)).toEqual(['file']);
    closeSync(open);
    await unmountOrderly(folder);
    expect(readdirSync(folder)).toEqual([]);
    await expect(unmountOrderly(folder)).rejects.toMatchObject({ code: 'EINVAL' });
  });

  test('a mount is taken away by force while it is in use', async () => {
    const folder = mounted();
    const open = openSync(join(folder, 'file'), 'r');
    await unmountByForce(folder, '0:0');
    expect(readdirSync(folder)).toEqual([]);
    closeSync(open);
  });
});
