/** lazydisk as it is installed: by npm, by make, and as a Debian package; each run with an empty environment. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { mkdir, readdir, readFile, readlink, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUpAfter, undoLater } from '../helpers/cleanup.js';
import { testDriver } from '../helpers/driver.js';
import { must, run } from '../helpers/processes.js';
import { mountpointsUnder, temporaryFolder } from '../helpers/temporary.js';

cleanUpAfter('each');

/** What is installed is the same for both drivers. */
const onDefaultDriver = testDriver === 'kernel' ? describe : describe.skip;

async function emptyFolder(): Promise<string> {
  return realpath(temporaryFolder('install'));
}

/** Imports, mounts, reads, unmounts: everything that loads a package with a binary. No variable is set, no PATH either. */
async function expectToWork(program: string): Promise<void> {
  const folder = await emptyFolder();
  const [repository, mountpoint, raw] = [`file://${join(folder, 'r')}`, join(folder, 'mnt'), join(folder, 'a.raw')];
  await mkdir(mountpoint);
  await mkdir(join(folder, 'r'));
  await writeFile(raw, Buffer.alloc(1 << 20, 'lazydisk'));
  const call = (...words: string[]) =>
    must('/usr/bin/env', ['-i', `LAZYDISK_RUNTIME_DIR=${join(folder, 'run')}`, program, ...words]);
  undoLater(async () => {
    if ((await mountpointsUnder(mountpoint)).length > 0) await call('unmount', mountpoint);
  });
  await call('init', repository);
  const { findings } = JSON.parse(await call('doctor', repository, '--state', join(folder, 'state'), '--json')) as {
    findings: { check: string; outcome: string }[];
  };
  const good = findings.filter(({ outcome }) => outcome === 'ok').map(({ check }) => check);
  expect(good).toEqual(expect.arrayContaining(['Node', 'FUSE', 'state folder', 'repository', 'If-None-Match']));
  await call('import', repository, raw, 'a');
  await call('mount', repository, mountpoint, '--state', join(folder, 'state'));
  expect((await readFile(join(mountpoint, 'a', 'disk.raw'))).equals(await readFile(raw))).toBe(true);
  await call('unmount', mountpoint);
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

onDefaultDriver('make install', () => {
  let root: string;
  const make = (target: string, ...words: string[]) =>
    must('make', ['--no-print-directory', target, `DESTDIR=${root}`, ...words]);
  beforeEach(async () => {
    root = await emptyFolder();
  });

  test('puts program, helper of mount(8), man pages and completions in place, and make uninstall takes them away', async () => {
    expect(await make('install', 'PREFIX=/opt/x')).toBe('');
    const files = await filesBelow(root);
    expect(files.filter((file) => !file.startsWith('opt/x/lib/lazydisk/'))).toEqual([
      'opt/x/bin/lazydisk',
      'opt/x/lib/systemd/system/lazydisk@.service',
      'opt/x/share/bash-completion/completions/lazydisk',
      'opt/x/share/man/man8/lazydisk.8',
      'opt/x/share/man/man8/mount.lazydisk.8',
      'opt/x/share/zsh/site-functions/_lazydisk',
      'sbin/mount.lazydisk',
    ]);
    expect(await readlink(join(root, 'sbin/mount.lazydisk'))).toBe(
      '/opt/x/lib/lazydisk/dist/mount/cli/mount-helper-main.js',
    );
    const unit = await readFile(join(root, 'opt/x/lib/systemd/system/lazydisk@.service'), 'utf8');
    expect(unit.match(/^Exec(?:Start|Reload|Stop)=.*/gm)).toEqual([
      expect.stringMatching(/^ExecStart=\/opt\/x\/bin\/lazydisk mount /),
      expect.stringMatching(/^ExecReload=\/opt\/x\/bin\/lazydisk restart /),
      expect.stringMatching(/^ExecStop=\/opt\/x\/bin\/lazydisk unmount /),
    ]);
    await make('uninstall', 'PREFIX=/opt/x');
    expect(await filesBelow(root)).toEqual([]);
  });

  test('makes programs that need no PATH; leaves the helper out where it may not be put, and takes other folders', async () => {
    await make('install', 'HELPER_DIR=', 'ZSH_COMPLETION_DIR=/z');
    const files = await filesBelow(root);
    expect(files.filter((file) => !file.startsWith('usr/local/'))).toEqual(['z/_lazydisk']);
    const programs = join(root, 'usr/local/lib/lazydisk/dist/mount/cli');
    const node = process.execPath;
    const firstLine = async (name: string) => (await readFile(join(programs, name), 'utf8')).split('\n')[0];
    expect(await firstLine('main.js')).toBe(`#!/usr/bin/env -S UV_THREADPOOL_SIZE=16 ${node}`);
    expect(await firstLine('mount-helper-main.js')).toBe(`#!${node}`);
    await expectToWork(join(root, 'usr/local/bin/lazydisk'));
  });
});

onDefaultDriver('make deb', () => {
  test('makes a package that lintian has nothing to say about, and that works', async () => {
    const said = await must('make', ['--no-print-directory', 'deb'], {
      env: { DEBEMAIL: 'packager@lazydisk.org' },
      timeoutMs: 120_000,
    });
    const [, file = ''] = /^made (.+)$/m.exec(said) ?? [];
    const lintian = await run('lintian', ['--fail-on', 'error,warning', file]);
    expect({ status: lintian.status, said: lintian.stdout }).toEqual({ status: 0, said: '' });
    const folder = await emptyFolder();
    await must('dpkg-deb', ['-x', file, folder]);
    // Made for Debian's own node; here another one may be in its place.
    expect(await readFile(join(folder, 'usr/lib/lazydisk/dist/mount/cli/main.js'), 'utf8')).toMatch(
      /^#!\/usr\/bin\/env -S UV_THREADPOOL_SIZE=16 \/usr\/bin\/node\n/,
    );
    if ((await realpath('/usr/bin/node').catch(() => null)) !== null)
      await expectToWork(join(folder, 'usr/bin/lazydisk'));
  });
});

onDefaultDriver('npm install -g of the packed tarball', () => {
  test('works without compiler, make and python, and has the versions that were tested', async () => {
    const folder = await emptyFolder();
    const said = await must('npm', ['pack', '--json', '--pack-destination', folder]);
    const [{ filename }] = JSON.parse(said) as [{ filename: string }];
    const tools = join(folder, 'tools');
    await mkdir(tools);
    const npm = await realpath((await must('sh', ['-c', 'command -v npm'])).trim());
    for (const [name, path] of [
      ['node', process.execPath],
      ['npm', npm],
      ['sh', '/bin/sh'],
    ] as const) {
      await symlink(path, join(tools, name));
    }
    await must('npm', ['install', '-g', '--prefer-offline', '--prefix', join(folder, 'p'), join(folder, filename)], {
      env: { PATH: tools },
      timeoutMs: 120_000,
    });
    const installed = join(folder, 'p/lib/node_modules/lazydisk');
    const { packages } = JSON.parse(await readFile('package-lock.json', 'utf8')) as {
      packages: Record<string, { version: string; dev?: boolean }>;
    };
    const there = (await readdir(join(installed, 'node_modules'))).filter((name) => /^[a-z]/.test(name));
    expect(there.length).toBeGreaterThan(10);
    for (const name of there) {
      const manifest = await readFile(join(installed, 'node_modules', name, 'package.json'), 'utf8');
      const tested = Object.entries(packages)
        .filter(([path, { dev }]) => path.endsWith(`node_modules/${name}`) && dev !== true)
        .map(([, { version }]) => version);
      expect({ name, tested }).toEqual({
        name,
        tested: expect.arrayContaining([(JSON.parse(manifest) as { version: string }).version]),
      });
    }
    // Its first line asks for node by PATH, as npm's programs do.
    await symlink('/usr/bin/env', join(tools, 'env'));
    expect(await must(join(folder, 'p/bin/lazydisk'), ['--version'], { env: { PATH: tools } })).toMatch(/^\d+\.\d+/);
    const program = join(folder, 'lazydisk');
    await writeFile(program, `#!/bin/sh\nPATH=${tools} exec ${join(folder, 'p/bin/lazydisk')} "$@"\n`, { mode: 0o755 });
    await expectToWork(program);
  });
});
