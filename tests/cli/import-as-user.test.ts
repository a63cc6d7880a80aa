/** Archives imported by a user who is not root: their files keep their owners by fakeroot, or by a user namespace. */
import { expect, test } from '@jest/globals';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUpAfter } from '../helpers/cleanup.js';
import { mountNamespace } from '../helpers/mount-namespace.js';
import { otherUser } from '../helpers/other-user.js';
import { type Ended, must } from '../helpers/processes.js';
import { temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

const asRoot = process.getuid?.() === 0 ? test : test.skip;

// S95
asRoot('without root an archive wants fakeroot, or subordinate ids and no devices, and says so', async () => {
  const place = temporaryFolder('as-user');
  const tree = join(place, 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'file'), 'file');
  chownSync(join(tree, 'file'), 12, 34);
  const [plain, devices] = [join(place, 'plain.tar'), join(place, 'devices.tar')];
  await must('tar', ['-C', tree, '-cf', plain, '.']);
  await must('mknod', [join(tree, 'null'), 'c', '1', '3']);
  await must('tar', ['-C', tree, '-cf', devices, '.']);

  const user = await otherUser();
  const namespace = await mountNamespace();
  const ids = join(place, 'ids');
  writeFileSync(ids, 'nobody:200000:65536\n');
  for (const path of ['/etc/subuid', '/etc/subgid']) {
    await must('touch', [path]);
    await namespace.replace(path, ids);
  }
  const url = `file://${user.folder}/repository`;
  const as = (before: readonly string[], ...words: string[]): Promise<Ended> => {
    const [command, ...args] = [...before, process.execPath, join(user.project, 'dist/mount/cli/main.js'), ...words];
    return namespace.run('setpriv', user.words(command!, args));
  };
  const fakeroot = ['fakeroot'];
  const mapped = ['unshare', '--map-root-user', '--map-auto'];
  expect(await as([], 'init', url)).toMatchObject({ status: 0 });
  const refused = async (before: readonly string[], archive: string): Promise<string> => {
    const { status, stderr } = await as(before, 'import', url, archive, 'none');
    expect(status).toBe(2);
    return stderr;
  };
  expect(await refused([], plain)).toContain('`fakeroot lazydisk import …`');
  expect(await refused(mapped, devices)).toContain('has device files (./null), which only root can make');
  expect(await refused(['unshare', '--map-root-user'], plain)).toContain('belong to users who are not here');

  const diskOf = async (before: readonly string[], archive: string, name: string): Promise<string> => {
    expect(await as(before, 'import', url, archive, name)).toMatchObject({ stderr: '', status: 0 });
    const raw = join(user.folder, `${name}.raw`);
    expect(await as([], 'export', url, name, raw)).toMatchObject({ status: 0 });
    await must('e2fsck', ['-fn', raw]);
    return raw;
  };
  const ask = (raw: string, path: string): Promise<string> => must('debugfs', ['-R', `stat ${path}`, raw]);
  const faked = await diskOf(fakeroot, devices, 'faked');
  expect(await ask(faked, 'file')).toMatch(/User: +12 +Group: +34 /);
  expect(await ask(faked, 'null')).toMatch(/Type: character special[^]*Device major\/minor number: 01:03/);
  expect(await ask(await diskOf(mapped, plain, 'mapped'), 'file')).toMatch(/User: +12 +Group: +34 /);
});
