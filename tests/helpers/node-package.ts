/** The node that runs the tests as a Debian package: what a host gets before lazydisk's, whose `nodejs` in Debian 12 is too old. */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './processes.js';
import { temporaryFolder } from './temporary.js';

/** Makes the package `nodejs` at a path. Not packed: whoever unpacks it may have a slow processor. */
export async function makeNodePackage(path: string): Promise<void> {
  const root = temporaryFolder('nodejs');
  await mkdir(join(root, 'usr/bin'), { recursive: true });
  await mkdir(join(root, 'DEBIAN'));
  await cp(process.execPath, join(root, 'usr/bin/node'));
  const control = [
    'Package: nodejs',
    `Version: ${process.versions.node}-1`,
    `Architecture: ${(await must('dpkg', ['--print-architecture'])).trim()}`,
    'Maintainer: tests of lazydisk <lazydisk@localhost>',
    'Depends: libc6, libstdc++6',
    'Description: the node of these tests',
  ];
  await writeFile(join(root, 'DEBIAN/control'), `${control.join('\n')}\n`);
  await must('dpkg-deb', ['--root-owner-group', '-Znone', '--build', root, path]);
}
